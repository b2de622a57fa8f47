"""What is wrong with a configuration, collected and told as one error."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

KeyPath = tuple[str | int, ...]
"""The way to a value: keys of mappings, positions in lists."""

_MAX_SHOWN = 80


class ConfigError(Exception):
    """The configuration can't be used. The text is the operator's: a line a finding, no secrets."""

    def __init__(self, *findings: str) -> None:
        super().__init__("\n".join(findings))
        self.findings = findings


class WrongFieldError(ValueError):
    """What a check of a whole entry found wrong with one value in it: `path`, from the entry on."""

    def __init__(self, path: KeyPath, text: str) -> None:
        super().__init__(f"{dotted(path)}: {text}")
        self.path = path
        self.text = text


def printable(text: str) -> str:
    """`text` with control and other invisible characters escaped, safe to show in a terminal."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def dotted(path: KeyPath) -> str:
    """`("tools", "x", "args", 0)` as a person writes it: `tools.x.args[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += "." * bool(text) + printable(part[:_MAX_SHOWN])
    return text


@dataclass(slots=True)
class Findings:
    """Collects errors and warnings, each with the place its reader has to look at."""

    file: Path | None
    lines: Mapping[KeyPath, int]
    variables: dict[KeyPath, str] = field(default_factory=dict[KeyPath, str])
    """Paths that the environment set → the name of the variable."""
    errors: dict[KeyPath, str] = field(default_factory=dict[KeyPath, str])
    warnings: list[str] = field(default_factory=list[str])

    def add_error(self, path: KeyPath, text: str) -> None:
        """Note what makes the configuration unusable. The first finding about a value counts."""
        self.errors.setdefault(path, self._locate(path, text))

    def add_warning(self, path: KeyPath, text: str) -> None:
        """Note what can be lived with."""
        self.warnings.append(self._locate(path, text))

    def take_errors_below(self, section: str) -> dict[str, tuple[str, ...]]:
        """Take out the errors of a section's entries, by the names of the entries."""
        found: dict[str, tuple[str, ...]] = {}
        for path in [path for path in self.errors if path[0] == section and len(path) > 1]:
            name = str(path[1])
            found[name] = (*found.get(name, ()), self.errors.pop(path))
        return found

    def raise_errors(self, *others: str) -> None:
        """Do nothing if there are no errors; else raise them, and `others` after them.

        Raises:
            ConfigError: There are.
        """
        if self.errors:
            raise ConfigError(*self.errors.values(), *others)

    def find_variable(self, path: KeyPath) -> str | None:
        """The variable that set this value, by itself or with what it is a part of."""
        return next(
            (self.variables[each] for each in _prefixes(path) if each in self.variables), None
        )

    def _locate(self, path: KeyPath, text: str) -> str:
        if (variable := self.find_variable(path)) is not None:
            return f"{printable(variable)}: {dotted(path)}: {text}"
        place = "defaults" if self.file is None else printable(str(self.file))
        line = next((self.lines[each] for each in _prefixes(path) if each in self.lines), None)
        return f"{place}{'' if line is None else f':{line}'}: {dotted(path)}: {text}"


def find_nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    from difflib import get_close_matches  # needed only when something is wrong

    by_folded = {_fold(each): each for each in known}
    nearest = get_close_matches(_fold(word[:_MAX_SHOWN]), by_folded, n=1)
    return by_folded[nearest[0]] if nearest else None


def _fold(word: str) -> str:
    return word.lower().replace("-", "_")


def _prefixes(path: KeyPath) -> Iterable[KeyPath]:
    return (path[:length] for length in range(len(path), 0, -1))
