"""What may stand where in `mcp.yml`, read off the models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from agentic.config.findings import KeyPath
from agentic.config.models import Config, ModelConfig, ModelsConfig

_PLAIN: Mapping[object, str] = {
    str: "text",
    SecretStr: "text",
    Path: "a path",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
}
_BOUNDS = (("gt", "above"), ("ge", "at least"), ("lt", "below"), ("le", "at most"))


@dataclass(frozen=True, slots=True)
class Shape:
    """One place in the file: the type of its value, and what may stand below it."""

    kind: object
    """The type, without `| None` and annotations."""
    field: FieldInfo | None = None
    names: Mapping[str, FieldInfo] = field(default_factory=dict[str, FieldInfo])
    """The keys it knows."""
    others: object = None
    """The type of values under keys of the user's own choice; None: there are none."""

    @property
    def holds_mapping(self) -> bool:
        """Whether a mapping belongs here."""
        return bool(self.names) or self.others is not None

    def child(self, key: str) -> "Shape | None":
        """What may stand below `key`; None: nothing is known by that name."""
        if (known := self.names.get(key)) is not None:
            return _shape_of(known.annotation, known)
        return None if self.others is None else _shape_of(self.others)

    def describe(self) -> str:
        """What would be right here, in words."""
        return _describe(self.kind) + _describe_bounds(self.field)


def shape_at(path: KeyPath) -> Shape | None:
    """What may stand at a path of `mcp.yml`."""
    shape: Shape | None = ROOT
    for part in path:
        shape = shape.child(part) if shape is not None and isinstance(part, str) else None
    return shape


def _shape_of(annotation: object, known: FieldInfo | None = None) -> Shape:
    kind = _strip(annotation)
    if kind is ModelsConfig:  # in the file, models by name stand beside `default`
        return Shape(kind, known, {"default": ModelsConfig.model_fields["default"]}, ModelConfig)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return Shape(kind, known, _names(kind))
    if get_origin(kind) in (dict, Mapping):
        return Shape(kind, known, others=get_args(kind)[1])
    return Shape(kind, known, others=Any if kind is Any else None)


def _names(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Keys of a model in the file. A field excluded from dumps is the loader's own finding."""
    return {known.alias or name: known for name, known in model.model_fields.items() if not known.exclude}


def _strip(annotation: object) -> object:
    """Without `Annotated[…]` and `… | None`."""
    while hasattr(annotation, "__metadata__"):
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        members = [member for member in get_args(annotation) if member is not NoneType]
        if len(members) == 1:
            return _strip(members[0])
    return annotation


def _describe(kind: object) -> str:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "a mapping (key: value)"
    match get_origin(kind), get_args(kind):
        case origin, members if origin in (Union, UnionType):
            return " or ".join(_describe(_strip(member)) for member in members)
        case origin, choices if origin is Literal:
            return "one of " + ", ".join(str(choice) for choice in choices)
        case origin, _ if origin is list:
            return "a list"
        case origin, _ if origin in (dict, Mapping):
            return "a mapping (key: value)"
        case _:
            return _PLAIN.get(kind, "something else")


def _describe_bounds(known: FieldInfo | None) -> str:
    constraints: Sequence[object] = () if known is None else known.metadata
    limits = [
        f"{word} {limit:,g}" if isinstance(limit, float) else f"{word} {limit:,}"
        for constraint in constraints
        for name, word in _BOUNDS
        if (limit := getattr(constraint, name, None)) is not None
    ]
    return " " + " and ".join(limits) if limits else ""


ROOT = _shape_of(Config)
