"""Texts with places for parameters: `/users/{id}`; `{{` and `}}` are literal braces."""

import re
from collections.abc import Callable
from dataclasses import dataclass

_PART = re.compile(r"\{\{|\}\}|\{(?P<name>[A-Za-z0-9_.-]{1,64})\}|[{}]", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the value of a parameter goes."""

    name: str


@dataclass(frozen=True, slots=True)
class Template:
    """Literal text and places by turns."""

    parts: tuple[str | Place, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters it takes, each once."""
        return tuple(dict.fromkeys(part.name for part in self.parts if isinstance(part, Place)))

    @property
    def only_name(self) -> str | None:
        """The parameter that is all of it, if so."""
        match self.parts:
            case (Place(name),):
                return name
            case _:
                return None

    def fill(self, get_text: Callable[[str], str]) -> str:
        """The text, with what `get_text` gives for each name."""
        return "".join(
            get_text(part.name) if isinstance(part, Place) else part for part in self.parts
        )


def parse_template(text: str) -> Template:
    """Take a text apart.

    Raises:
        ValueError: A brace opens or closes no place.
    """
    parts: list[str | Place] = []
    end = 0
    for match in _PART.finditer(text):
        parts.append(text[end : match.start()])
        end = match.end()
        if match["name"] is not None:
            parts.append(Place(match["name"]))
        elif len(match[0]) == 2:
            parts.append(match[0][0])
        else:
            raise ValueError(
                f"has a {match[0]} that belongs to no {{parameter}}; double it if it is meant"
            )
    parts.append(text[end:])
    return Template(tuple(part for part in parts if part != ""))
