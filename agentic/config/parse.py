"""A tree of plain values → the models; what pydantic finds, in plain words."""

import difflib
from collections.abc import Iterator, Mapping
from typing import cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from agentic.config.findings import Findings, KeyPath, WrongFieldError, find_nearest
from agentic.config.models import Config
from agentic.config.shape import ROOT, Shape
from agentic.config.tool_kinds import find_kind
from agentic.config.yaml_text import Tree

_SLIP = 0.75
"""Of difflib: a letter or two that are missing, doubled or swapped."""
_OUT_OF_RANGE = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")


def parse_config(
    tree: Mapping[str, Tree], missing: Mapping[KeyPath, set[str]], findings: Findings
) -> Config:
    """The models, once everything that was found is known.

    A wrong declaration of a tool costs that tool only: see `Config.broken_tools`.

    Raises:
        ConfigError: Anything else is wrong, here or before.
    """
    for path, text in _check_references(tree):
        findings.add_error(path, text)
    config = Config()
    try:
        config = _validate(tree, missing)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            _add_finding(details, tree, findings)
    broken = findings.take_errors_below("tools")
    findings.raise_errors(*(text for texts in broken.values() for text in texts))
    if broken:
        config = _validate(_without_tools(tree, broken), missing)
    return config.model_copy(update={"broken_tools": broken})


def _validate(tree: Mapping[str, Tree], missing: Mapping[KeyPath, set[str]]) -> Config:
    return Config.model_validate(_split_tools(_add_missing(_nest_models(tree), missing)))


def _without_tools(tree: Mapping[str, Tree], broken: Mapping[str, object]) -> dict[str, Tree]:
    tools = tree.get("tools")
    if not isinstance(tools, dict):
        return dict(tree)
    return {**tree, "tools": {name: each for name, each in tools.items() if name not in broken}}


def _nest_models(tree: Mapping[str, Tree]) -> dict[str, Tree]:
    """In the file, models stand beside `default`, which is the first one unless it is given."""
    models = tree.get("models")
    if not isinstance(models, dict):
        return dict(tree)
    by_name = {name: model for name, model in models.items() if name != "default"}
    default = models.get("default") or next(iter(by_name), None)
    return {**tree, "models": {"default": default, "by_name": by_name}}


def _split_tools(tree: dict[str, object]) -> dict[str, object]:
    """In the file, sources of tools and tools of steps stand among the tools."""
    tools = tree.get("tools")
    if not isinstance(tools, dict):
        return tree
    entries = cast("dict[str, object]", tools)
    kinds = {name: find_kind(each) for name, each in entries.items()}
    return tree | {
        section: {name: each for name, each in entries.items() if kinds[name] == section}
        for section in ("tools", "sources", "composed")
    }


def _add_missing(tree: dict[str, Tree], missing: Mapping[KeyPath, set[str]]) -> dict[str, object]:
    completed: dict[str, object] = dict(tree)
    for section in ("servers", "tools"):
        entries = tree.get(section)
        if isinstance(entries, dict):
            completed[section] = {
                name: {**entry, "missing_variables": sorted(missing.get((section, name), ()))}
                if isinstance(entry, dict)
                else entry
                for name, entry in entries.items()
            }
    return completed


def _check_references(tree: Mapping[str, Tree]) -> Iterator[tuple[KeyPath, str]]:
    """Names of models that no model has."""
    models, agents = tree.get("models"), tree.get("agents")
    known = [name for name in models if name != "default"] if isinstance(models, dict) else []
    named: dict[KeyPath, Tree] = {}
    if isinstance(models, dict):
        named["models", "default"] = models.get("default")
    if isinstance(agents, dict):
        for name, agent in agents.items():
            if isinstance(agent, dict):
                named["agents", name, "model"] = agent.get("model")
    for path, name in named.items():
        if isinstance(name, str) and name not in known:
            nearest = find_nearest(name, known)
            hint = f"did you mean {nearest}?" if nearest else "define one under models:"
            yield path, f"names no model; {hint}"


def _add_finding(details: ErrorDetails, tree: Mapping[str, Tree], findings: Findings) -> None:
    path, shape = _find_place(details["loc"], tree)
    if details["type"] == "value_error":
        wrong: object = details.get("ctx", {}).get("error", details["msg"])
        if isinstance(wrong, WrongFieldError):
            findings.add_error((*path, *wrong.path), wrong.text)
        else:
            findings.add_error(path, str(wrong))
        return
    wanted = f"should be {shape.describe()}" if shape is not None else details["msg"]
    if details["type"] == "missing":
        findings.add_error(path, f"is missing, {wanted}")
    elif details["type"] in _OUT_OF_RANGE:
        findings.add_error(path, f"is out of range, {wanted}")
    else:
        value = _value_at(tree, path)
        hint = (
            " (put it in quotes)"
            if isinstance(value, bool) and details["type"] == "string_type"
            else ""
        )
        is_choice = details["type"] in ("literal_error", "enum")
        if is_choice and isinstance(value, str):
            kind = _quote_slip(value, wanted)
        else:
            kind = _name_kind(value)
        findings.add_error(path, f"is {kind}, {wanted}{hint}")


def _find_place(
    location: tuple[str | int, ...], tree: Mapping[str, Tree]
) -> tuple[KeyPath, Shape | None]:
    """The path as it stands in the file: without our nesting, and what pydantic adds to it."""
    if location[:2] == ("models", "by_name"):
        location = ("models", *location[2:])
    if location[:1] in (("sources",), ("composed",)):
        location = ("tools", *location[1:])
    path: KeyPath = ()
    shape: Shape | None = ROOT
    for part in location:
        below = None
        if shape is not None:
            below = shape.child(part) if isinstance(part, str) else shape.item
        if below is None and not isinstance(part, int):
            break
        path = (*path, part)
        shape = None if below is None else below.choose(_value_at(tree, path))
    return path, shape


def _value_at(tree: Mapping[str, Tree], path: KeyPath) -> Tree:
    value: Tree = dict(tree)
    for part in path:
        match value, part:
            case dict(), str():
                value = value.get(part)
            case list(), int() if part < len(value):
                value = value[part]
            case _:
                return None
    return value


def _quote_slip(value: str, choices: str) -> str:
    """A text where one of some words belongs: shown only if it is nearly one of them.

    Anything else may be a secret that got into the wrong place, by a variable say.
    """
    words = choices.replace(",", " ").lower().split()
    is_slip = difflib.get_close_matches(value.lower(), words, n=1, cutoff=_SLIP)
    return f'"{value}"' if is_slip else _name_kind(value)


def _name_kind(value: Tree) -> str:
    match value:
        case None:
            return "empty"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text" if value else "empty"
        case list():
            return "a list"
        case dict():
            return "a mapping"
