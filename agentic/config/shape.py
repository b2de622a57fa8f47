"""What may stand where in `mcp.yml`, read off the models."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Literal, Union, get_args, get_origin

from pydantic import BaseModel, JsonValue, SecretStr
from pydantic.fields import FieldInfo

from agentic.config.models import Config, ModelConfig, ModelsConfig
from agentic.config.rules import VariableName
from agentic.config.tool_kinds import MODELS, find_kind
from agentic.config.tools import ToolConfig

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
    info: FieldInfo | None = None
    names: Mapping[str, FieldInfo] = field(default_factory=dict[str, FieldInfo])
    """The keys it knows."""
    others: object = None
    """The type of values under keys of the user's own choice; None: there are none."""
    keeps_case: bool = False
    """Whether those keys are names of environment variables."""

    def child(self, key: str) -> "Shape | None":
        """What may stand below `key`; None: nothing is known by that name."""
        if (info := self.names.get(key)) is not None:
            return _create_shape(info.annotation, info)
        return None if self.others is None else _create_shape(self.others)

    def choose(self, value: object) -> "Shape":
        """The shape of what `value` is, where its keys tell: the kinds of tools."""
        return (
            _create_shape(MODELS[find_kind(value)], self.info) if self.kind is ToolConfig else self
        )

    @property
    def item(self) -> "Shape | None":
        """What may stand in a list here, if those are mappings with keys that are known."""
        if get_origin(self.kind) is not list:
            return None
        item = _create_shape(get_args(self.kind)[0])
        return item if item.names else None

    @property
    def holds_mapping(self) -> bool:
        """Whether a mapping belongs here."""
        return bool(self.names) or self.others is not None

    @property
    def is_plain(self) -> bool:
        """Whether a value is a single word: no list, no mapping, not open."""
        return self.kind in _PLAIN or get_origin(self.kind) is Literal

    @property
    def is_number(self) -> bool:
        """Whether a number belongs here."""
        return self.kind is int or self.kind is float

    @property
    def is_path(self) -> bool:
        """Whether a path belongs here."""
        return self.kind is Path

    @property
    def takes_null(self) -> bool:
        """Whether an empty value is a value."""
        return self.kind is JsonValue

    def describe(self) -> str:
        """What would be right here, in words."""
        constraints = self.info.metadata if self.info is not None else ()
        limits = [
            f"{word} {limit:,}"
            for constraint in constraints
            for name, word in _BOUNDS
            if (limit := getattr(constraint, name, None)) is not None
        ]
        return " ".join([_describe(self.kind), " and ".join(limits)]).strip()


@cache
def _get_names(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """Keys of a model in the file. A field excluded from dumps is the loader's own finding."""
    fields = model.model_fields.items()
    return {info.alias or name: info for name, info in fields if not info.exclude}


def _create_shape(annotation: object, info: FieldInfo | None = None) -> Shape:
    kind = _strip(annotation)
    if kind is ModelsConfig:  # in the file, models by name stand beside `default`
        default = ModelsConfig.model_fields["default"]
        return Shape(kind, info, {"default": default}, ModelConfig)
    if (model := _as_model(kind)) is not None:
        return Shape(kind, info, _get_names(model))
    if get_origin(kind) is dict:
        keys, values = get_args(kind)
        return Shape(kind, info, others=values, keeps_case=keys == VariableName)
    return Shape(kind, info)


def _as_model(kind: object) -> type[BaseModel] | None:
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


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
    origin, members = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(_describe(_strip(member)) for member in members)
    if origin is Literal:
        return "one of " + ", ".join(str(choice) for choice in members)
    if origin is list:
        return "a list"
    if origin is dict or _as_model(kind) is not None:
        return "a mapping (key: value)"
    return _PLAIN.get(kind, "something else")


ROOT = _create_shape(Config)
