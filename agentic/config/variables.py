"""`${VAR}` and `${VAR:-default}` in the values of `mcp.yml`.

They are replaced after the file was read, so a value can't bring structure of its own. A variable
that is unset or empty counts as missing; `${VAR:-}` says that nothing is fine too. `$${` stands for
a literal `${`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from agentic.config.findings import Findings, KeyPath
from agentic.config.yaml_text import Tree

_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<inside>[^{}]*)(?P<end>\}?)")
_INSIDE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-(?P<text>.*))?", re.DOTALL)
_REAL_KEY_CHARACTERS = 20
"""Shorter ones are what local engines get, which want any key at all."""
_AUTH_SECRETS = (
    ("bearer",),
    ("basic", "password"),
    ("header", "value"),
    ("query", "value"),
    ("oauth", "client_secret"),
)
"""Below a tool's `auth`."""


class _MissingError(Exception):
    """A variable without a value and without a default."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def find_variables(tree: Tree) -> frozenset[str]:
    """The variables that the text anywhere in `tree` refers to, set or not."""
    return frozenset(
        inside["name"]
        for text in _texts(tree)
        for reference in _REFERENCE.finditer(text)
        if (inside := _INSIDE.fullmatch(reference["inside"] or "")) is not None
    )


@dataclass(slots=True)
class Expansion:
    """Replaces references; a credential without its variable is left out and noted in `missing`."""

    environ: Mapping[str, str]
    findings: Findings
    missing: dict[KeyPath, set[str]] = field(default_factory=dict[KeyPath, set[str]])
    """Entries (`("tools", "x")`) → the variables they lack."""

    def expand_mapping(self, tree: dict[str, Tree], path: KeyPath = ()) -> dict[str, Tree]:
        """`tree` with every reference replaced, but for what the environment set."""
        expanded: dict[str, Tree] = {}
        for key, value in tree.items():
            here = (*path, key)
            try:
                expanded[key] = self._expand(value, here)
            except _MissingError as error:
                if _is_credential(here):
                    self.missing.setdefault(here[:2], set()).add(error.name)
                    if here[2:3] == ("auth",):  # which says more than its secret
                        expanded[key] = ""
                else:
                    self._refuse_missing(error.name, here)
                    expanded[key] = value
        return expanded

    def _expand(self, tree: Tree, path: KeyPath) -> Tree:
        if path in self.findings.variables:
            return tree
        if isinstance(tree, dict):
            return self.expand_mapping(tree, path)
        if isinstance(tree, list):
            return [self._expand_item(value, (*path, at)) for at, value in enumerate(tree)]
        if isinstance(tree, str):
            return self._expand_text(tree, path)
        return tree

    def _expand_item(self, tree: Tree, path: KeyPath) -> Tree:
        try:
            return self._expand(tree, path)
        except _MissingError as error:
            self._refuse_missing(error.name, path)
            return tree

    def _expand_text(self, text: str, path: KeyPath) -> str:
        if _is_key(path) and len(text) > _REAL_KEY_CHARACTERS and "${" not in text:
            self.findings.add_warning(
                path, "holds a secret in plain text; keep it in a variable and write ${ITS_NAME}"
            )
        try:
            return _replace(text, self.environ)
        except ValueError as error:
            self.findings.add_error(path, str(error))
            return text

    def _refuse_missing(self, name: str, path: KeyPath) -> None:
        self.findings.add_error(
            path, f"the variable {name} is not set: set it, or write ${{{name}:-default}}"
        )


def _is_credential(path: KeyPath) -> bool:
    """Whether the rest of the configuration does without it."""
    match path:
        case ("tools", _, "token") | ("tools", _, "headers", _) | ("bot", "token"):
            return True
        case ("tools", _, "auth", *rest):
            return tuple(rest) in _AUTH_SECRETS
        case ("servers", _, "headers" | "env", _):
            return True
        case _:
            return False


def _is_key(path: KeyPath) -> bool:
    match path:
        case ("tools", _, "token") | ("bot", "token") | ("models", _, "api_key"):
            return True
        case ("tools", _, "auth", *rest):
            return tuple(rest) in _AUTH_SECRETS
        case ("tools" | "servers", _, "headers", str(name)):
            return name.lower() == "authorization"
        case _:
            return False


def _replace(text: str, environ: Mapping[str, str]) -> str:
    def get_value(reference: re.Match[str]) -> str:
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

    return _REFERENCE.sub(get_value, text)


def _texts(tree: Tree) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, list | dict):
        for value in tree.values() if isinstance(tree, dict) else tree:
            yield from _texts(value)
