"""`AGENTIC_…` variables over the values of `mcp.yml`.

The name is the path joined by `__`, in any case, `_` also for `-` and `.`. Text, numbers and true/false are taken as
they are; lists and mappings are YAML or JSON. An empty variable counts as unset. What stands in a variable is not
searched for `${…}`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_origin

from pydantic import SecretStr

from agentic.config.findings import Findings, KeyPath, dotted, find_nearest
from agentic.config.shape import ROOT, Shape
from agentic.config.yaml_text import Tree, YamlTextError, parse_yaml

PREFIX = "AGENTIC_"
_AS_WRITTEN = (str, SecretStr, Path, bool, int, float)
_WAYS_TO_A_SERVER = {"url": ("command", "args", "env", "cwd"), "command": ("url", "headers")}


class _UnknownNameError(Exception):
    """No value goes by this name; holds the whole name that was probably meant, if any."""

    def __init__(self, meant: str | None) -> None:
        super().__init__(meant)
        self.meant = meant


@dataclass(frozen=True, slots=True)
class _Override:
    variable: str
    path: KeyPath
    value: Tree


def apply_overrides(
    tree: dict[str, Tree], environ: Mapping[str, str], findings: Findings
) -> dict[str, Tree]:
    """`tree` with the environment's values in it; which path came from which variable goes to `findings`."""
    names = [name for name, text in environ.items() if name.startswith(PREFIX) and text]
    for name in sorted(names, key=lambda name: (name.count("__"), name)):
        override = _read_override(name, environ[name], tree, findings)
        if override is None:
            continue
        if (other := findings.variables.get(override.path)) is not None:
            findings.add_warning(override.path, f"is set by {name} as well, which wins over {other}")
        findings.variables[override.path] = name
        tree = _put(tree, override.path, override.value)
        match override.path:
            case ("servers", str(server), "url" | "command" as way):
                tree = _keep_one_way(tree, server, way, findings)
            case _:
                pass
    return tree


def _read_override(
    name: str, text: str, tree: dict[str, Tree], findings: Findings
) -> _Override | None:
    try:
        path, shape = _find_path(name, tree)
    except _UnknownNameError as error:
        meant = f": did you mean {error.meant}?" if error.meant else ""
        findings.add_note(f"{name}: names nothing in mcp.yml{meant}")
        return None
    if shape.kind in _AS_WRITTEN or get_origin(shape.kind) is Literal:
        return _Override(name, path, text)
    try:
        return _Override(name, path, parse_yaml(text).tree)
    except YamlTextError as error:
        findings.variables[path] = name
        findings.add_error(path, f"{error} (should be {shape.describe()}, in YAML or JSON)")
        return None


def _find_path(name: str, tree: dict[str, Tree]) -> tuple[KeyPath, Shape]:
    """The value that a variable names: a known one, one of the file's, or a new one below a mapping."""
    shape, node, path = ROOT, tree, ()
    words = name.removeprefix(PREFIX).split("__")
    while words:
        key, used = _match(words, shape, node)
        child = None if key is None else shape.child(key)
        if key is None or child is None:
            raise _UnknownNameError(_guess(words[0], path, shape))
        below = node.get(key) if isinstance(node, dict) else None
        shape, node, path, words = child, below, (*path, key), words[used:]
    return path, shape


def _match(words: list[str], shape: Shape, node: Tree) -> tuple[str | None, int]:
    """The key that the first words name, and how many of them (a name in the file may hold `__` itself)."""
    known = {_spell(key): key for key in shape.names}
    if (key := known.get(_spell(words[0]))) is not None:
        return key, 1
    if shape.others is None or not words[0]:
        return None, 0
    present = {_spell(key): key for key in node} if isinstance(node, dict) else {}
    for used in range(len(words), 0, -1):
        if (key := present.get(_spell("__".join(words[:used])))) is not None:
            return key, used
    return (words[0] if shape.keeps_case else words[0].lower()), 1


def _guess(word: str, path: KeyPath, shape: Shape) -> str | None:
    nearest = find_nearest(word, shape.names)
    if nearest is None:
        return None
    return PREFIX + "__".join(_spell(str(part)).upper() for part in (*path, nearest))


def _spell(key: str) -> str:
    return "".join(character if character.isalnum() else "_" for character in key.lower())


def _put(tree: dict[str, Tree], path: KeyPath, value: Tree) -> dict[str, Tree]:
    key, *rest = path
    if not rest:
        return {**tree, str(key): value}
    below = tree.get(str(key))
    if below is None:
        below = {}
    if not isinstance(below, dict):
        return tree  # what stands there is wrong, and will be told so
    return {**tree, str(key): _put(below, tuple(rest), value)}


def _keep_one_way(
    tree: dict[str, Tree], server: str, way: str, findings: Findings
) -> dict[str, Tree]:
    """A `url` from the environment replaces the file's `command`, and the other way round."""
    servers = tree["servers"]
    entry = servers.get(server) if isinstance(servers, dict) else None
    if not isinstance(servers, dict) or not isinstance(entry, dict):
        return tree
    replaced = {
        key
        for key in _WAYS_TO_A_SERVER[way]
        if not any(path[:3] == ("servers", server, key) for path in findings.variables)
    }
    kept = {key: value for key, value in entry.items() if key not in replaced}
    return {**tree, "servers": {**servers, server: kept}}
