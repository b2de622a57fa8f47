"""What is wrong with a configuration, collected and told as one error."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

KeyPath = tuple[str | int, ...]
"""The way to a value: keys of mappings, positions in lists."""


class ConfigError(Exception):
    """The configuration can't be used. The text is for the operator: a line per finding, no secrets."""

    def __init__(self, findings: Sequence[str]) -> None:
        super().__init__("\n".join(findings))
        self.findings = tuple(findings)


def printable(text: str) -> str:
    """`text` with control and other invisible characters escaped, safe to show in a terminal."""
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "backslashreplace").decode("ascii")
        for character in text
    )


def dotted(path: KeyPath) -> str:
    """`("tools", "x", "args", 0)` as a person writes it: `tools.x.args[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{printable(part)}" if text else printable(part)
    return text


@dataclass(slots=True)
class Findings:
    """Collects errors and warnings, each with the place its reader has to look at."""

    file: Path | None
    lines: Mapping[KeyPath, int]
    variables: Mapping[KeyPath, str]
    """Paths that were set by the environment → the name of the variable."""
    errors: dict[tuple[KeyPath, str], str] = field(default_factory=dict[tuple[KeyPath, str], str])
    warnings: list[str] = field(default_factory=list[str])

    def add_error(self, path: KeyPath, text: str) -> None:
        """Note what makes the configuration unusable."""
        self.errors.setdefault((path, text), self._locate(path, text))

    def add_warning(self, path: KeyPath, text: str) -> None:
        """Note what can be lived with."""
        self.warnings.append(self._locate(path, text))

    def raise_errors(self) -> None:
        """Do nothing if there are no errors.

        Raises:
            ConfigError: There are.
        """
        if self.errors:
            raise ConfigError(list(self.errors.values()))

    def _locate(self, path: KeyPath, text: str) -> str:
        for length in range(len(path), 0, -1):
            if (variable := self.variables.get(path[:length])) is not None:
                return f"{printable(variable)}: {dotted(path)}: {text}"
        place = "defaults" if self.file is None else printable(str(self.file))
        for length in range(len(path), 0, -1):
            if (line := self.lines.get(path[:length])) is not None:
                place = f"{place}:{line}"
                break
        return f"{place}: {dotted(path)}: {text}"


def find_nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    from difflib import get_close_matches  # noqa: PLC0415 - needed only when something is wrong

    by_folded = {_fold(each): each for each in known}
    nearest = get_close_matches(_fold(word), by_folded, n=1)
    return by_folded[nearest[0]] if nearest else None


def _fold(word: str) -> str:
    return word.lower().replace("-", "_")
