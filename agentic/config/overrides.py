"""`AGENTIC_…` variables over the values of `mcp.yml`.

The name is the path joined by `__`, in any case, with `_` for whatever is no letter or digit. Text,
numbers and true/false are taken as they are; lists and mappings are YAML or JSON. An empty variable
counts as unset. What stands in a variable is not searched for `${…}`.
"""

from collections.abc import Collection, Mapping

from agentic.config.findings import Findings, KeyPath, find_nearest, printable
from agentic.config.shape import ROOT, Shape
from agentic.config.yaml_text import Tree, YamlTextError, parse_yaml

PREFIX = "AGENTIC_"
_REPLACES = {"url": ("command", "args", "env", "cwd"), "command": ("url", "headers", "token_file")}


class _UnknownNameError(Exception):
    """No value goes by this name; the text is the whole name that was probably meant."""


def apply_overrides(
    tree: dict[str, Tree],
    environ: Mapping[str, str],
    findings: Findings,
    sections: Collection[str] | None,
) -> dict[str, Tree]:
    """`tree` with the environment's values in it; `findings` learns which variable set what."""
    names = [name for name, text in environ.items() if name.startswith(PREFIX) and text]
    for name in sorted(names, key=lambda name: (name.count("__"), name)):
        try:
            path, shape = _find_path(name.removeprefix(PREFIX).split("__"), tree)
        except _UnknownNameError as error:
            hint = f"; did you mean {error}?" if str(error) else ""
            findings.warnings.append(f"{printable(name)}: names nothing in mcp.yml{hint}")
            continue
        if sections is None or path[0] in sections:
            if path in findings.variables:
                findings.add_warning(path, f"is set by {printable(name)}, too, which wins")
            findings.variables[path] = name
            value = _parse_value(environ[name], shape, path, findings)
            tree = _put(_make_way(tree, path, findings), path, value)
    return tree


def _find_path(words: list[str], tree: Tree) -> tuple[KeyPath, Shape]:
    """The value that words name: a known one, one of the file's, or a new one below a mapping."""
    path: KeyPath = ()
    shape, node = ROOT, tree
    while words:
        key, used = _match(words, shape, node)
        child = shape.child(key)
        if child is None or not key:
            nearest = find_nearest(words[0], shape.names)
            meant = (*path, nearest) if nearest else ()
            raise _UnknownNameError(
                PREFIX * bool(meant) + "__".join(_spell(part) for part in meant)
            )
        node = node.get(key) if isinstance(node, dict) else None
        path, shape, words = (*path, key), child.choose(node), words[used:]
    return path, shape


def _match(words: list[str], shape: Shape, node: Tree) -> tuple[str, int]:
    """The key that the first words name, and how many they are (names may hold `__` themselves)."""
    known = {_spell(key): key for key in (*(node if isinstance(node, dict) else ()), *shape.names)}
    for used in range(len(words), 0, -1):
        if (key := known.get(_spell("__".join(words[:used])))) is not None:
            return key, used
    return (words[0] if shape.keeps_case else words[0].lower()), 1


def _spell(key: str | int) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in str(key)).upper()


def _parse_value(text: str, shape: Shape, path: KeyPath, findings: Findings) -> Tree:
    if shape.is_plain:
        return text
    try:
        return parse_yaml(text).tree
    except YamlTextError as error:
        findings.add_error(path, f"{error}; should be {shape.describe()}, as YAML or JSON")
        return None


def _make_way(tree: dict[str, Tree], path: KeyPath, findings: Findings) -> dict[str, Tree]:
    """A server's `url` replaces the `command` of the file, and the other way round."""
    match path:
        case ("servers", str(server), "url" | "command" as way):
            for key in _REPLACES[way]:
                if not any(each[:3] == ("servers", server, key) for each in findings.variables):
                    tree = _put(tree, ("servers", server, key), None)
        case _:
            pass
    return tree


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
