"""An OpenAPI document as a source of tools: which of its operations, and by which rules."""

from typing import Annotated, Self, cast

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    JsonValue,
    SecretStr,
    field_validator,
    model_validator,
)

from agentic.config.call_limits import CallLimits
from agentic.config.findings import WrongFieldError
from agentic.config.rules import Headers, Url, check_url
from agentic.config.tool_auth import AuthConfig, LineSecret, is_credential_name
from agentic.config.tool_parameters import check_tool_name

MARK = "openapi"
"""The key by which an entry under `tools:` is a source."""
ALL_THAT_READ = "*"
"""Stands for every operation whose method is GET."""


_NOTHING_SAID: dict[str, object] = {}


def _to_mapping(operations: object) -> object:
    """A list of names is short for a mapping without overrides, and so is an empty value."""
    if isinstance(operations, list):
        names = cast("list[object]", operations)
        if not all(isinstance(each, str) for each in names):
            raise ValueError("should be a list of operations, each an operationId or `GET /path`")
        if len(set(names)) < len(names):
            raise ValueError("names an operation twice")
        return dict.fromkeys(names, _NOTHING_SAID)
    if isinstance(operations, dict):
        named = cast("dict[object, object]", operations)
        return {name: _NOTHING_SAID if each is None else each for name, each in named.items()}
    return operations


def _check_location(location: str) -> str:
    return check_url(location) if is_remote(location) else location


def is_remote(location: str) -> bool:
    """Whether a document is got over the network."""
    return location.startswith(("http://", "https://"))


SourceName = Annotated[str, Field(max_length=64), AfterValidator(check_tool_name)]


class OperationConfig(CallLimits):
    """What the entry says of one operation. What is absent is as the entry or the document says."""

    name: Annotated[str, AfterValidator(check_tool_name)] | None = None
    """Of the tool. Absent: the entry's name and the operationId, `petstore_listPets`."""
    title: str | None = None
    description: str | None = None
    read_only: bool | None = None
    destructive: bool | None = None
    idempotent: bool | None = None
    result: str | None = None
    output: dict[str, JsonValue] | None = None
    examples: list[dict[str, JsonValue]] = Field(default_factory=list[dict[str, JsonValue]])
    leave_out: list[str] = Field(default_factory=list[str])
    """Optional parameters that the model is not to see."""


class SourceConfig(CallLimits):
    """An entry under `tools:` that stands for operations of an API."""

    openapi: Annotated[str, AfterValidator(_check_location)] = Field(repr=False)
    """The document: a file, or an address that it is got from again and again."""
    operations: Annotated[dict[str, OperationConfig], BeforeValidator(_to_mapping)] = Field(
        min_length=1, max_length=200
    )
    """Each by its operationId or as `GET /path`; nothing else becomes a tool."""
    base_url: Url | None = Field(default=None, repr=False)
    """Where the operations are called. Absent: as the document says, within bounds."""
    headers: Headers = Field(default_factory=dict[str, SecretStr])
    auth: AuthConfig | None = None
    token: LineSecret | None = None
    """Sent in the way that the document wants."""
    private_network: bool = False
    """Whether document and operations may be in the private network without being named there."""
    missing_variables: tuple[str, ...] = Field(default=(), exclude=True)
    """Variables that credentials name and that are not set; those are left out."""

    @field_validator("operations")
    @classmethod
    def _check_all(cls, operations: dict[str, OperationConfig]) -> dict[str, OperationConfig]:
        of_all = operations.get(ALL_THAT_READ)
        if of_all is not None and of_all.model_fields_set & {"name", "leave_out", "examples"}:
            raise ValueError("'*' stands for many, which can't share name, leave_out or examples")
        return operations

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        if self.auth is not None and self.token is not None:
            raise WrongFieldError(("token",), "stands beside auth; keep one of them")
        for name, value in self.headers.items():
            has_brace = any(brace in value.get_secret_value() for brace in "{}")
            if has_brace and not is_credential_name(name):
                raise WrongFieldError(
                    ("headers", name), "is sent as it is here, so it may have no { and }"
                )
        return self
