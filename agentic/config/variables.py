"""`${VAR}` and `${VAR:-default}` in the values of `mcp.yml`.

They are replaced after the file was read, so a value can't bring structure of its own. A variable that is unset or
empty counts as missing; `${VAR:-}` says that nothing is fine too. `$${` stands for a literal `${`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from agentic.config.findings import Findings, KeyPath
from agentic.config.yaml_text import Tree

_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<inside>[^{}]*)(?P<end>\}?)")
_INSIDE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-(?P<text>.*))?", re.DOTALL)


class _MissingError(Exception):
    """A variable without a value and without a default."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def named_variables(tree: Tree) -> frozenset[str]:
    """The variables that the text anywhere in `tree` refers to, set or not."""
    return frozenset(
        match["name"]
        for text in _texts(tree)
        for reference in _REFERENCE.finditer(text)
        if reference["inside"] is not None
        and (match := _INSIDE.fullmatch(reference["inside"])) is not None
    )


@dataclass(slots=True)
class Expansion:
    """Replaces references in a tree; what can be done without is left out and noted in `missing`."""

    environ: Mapping[str, str]
    findings: Findings
    missing: dict[KeyPath, set[str]] = field(default_factory=dict[KeyPath, set[str]])
    """Entries (`("tools", "x")`) → the variables they lack."""

    def expand(self, tree: Tree, path: KeyPath = ()) -> Tree:
        """`tree` with every reference outside of what the environment set replaced."""
        if path in self.findings.variables:
            return tree
        if isinstance(tree, dict):
            expanded: dict[str, Tree] = {}
            for key, value in tree.items():
                here = (*path, key)
                if not (isinstance(value, str) and self._lacks_credential(value, here)):
                    expanded[key] = self.expand(value, here)
            return expanded
        if isinstance(tree, list):
            return [self.expand(value, (*path, index)) for index, value in enumerate(tree)]
        if isinstance(tree, str):
            return self._expand_text(tree, path)
        return tree

    def _expand_text(self, text: str, path: KeyPath) -> str:
        try:
            return _replace(text, self.environ)
        except _MissingError as error:
            self.findings.add_error(
                path,
                f"the variable {error.name} is not set: set it, or write ${{{error.name}:-default}}",
            )
        except ValueError as error:
            self.findings.add_error(path, str(error))
        return text

    def _lacks_credential(self, text: str, path: KeyPath) -> bool:
        """Whether this value can be done without, and has to be. The entry then says what to set."""
        if not _can_be_missing(path) or path in self.findings.variables:
            return False
        try:
            _replace(text, self.environ)
        except _MissingError as error:
            self.missing.setdefault(path[:2], set()).add(error.name)
            return True
        except ValueError:
            return False
        return False


def _can_be_missing(path: KeyPath) -> bool:
    match path:
        case ("tools", _, "token") | ("tools", _, "headers", _) | ("bot", "token"):
            return True
        case ("servers", _, "headers" | "env", _):
            return True
        case _:
            return False


def _replace(text: str, environ: Mapping[str, str]) -> str:
    def value_of(reference: re.Match[str]) -> str:
        if reference["inside"] is None:
            return "${"
        inside = _INSIDE.fullmatch(reference["inside"])
        if inside is None or not reference["end"]:
            raise ValueError("should be ${VAR} or ${VAR:-default}; write $${ for a literal ${")
        if value := environ.get(inside["name"], ""):
            return value
        if inside["default"] is None:
            raise _MissingError(inside["name"])
        return inside["text"]

    return _REFERENCE.sub(value_of, text)


def _texts(tree: Tree) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, list | dict):
        for value in tree.values() if isinstance(tree, dict) else tree:
            yield from _texts(value)
