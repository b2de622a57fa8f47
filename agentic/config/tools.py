"""The declaration of a tool: an HTTP endpoint, what is sent to it, and what a call may take."""

from typing import Annotated, Literal, Self

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
from agentic.config.rules import Headers, Url
from agentic.config.selection import check_selection
from agentic.config.tool_auth import SET_FOR_EACH_REQUEST, AuthConfig, check_token_url
from agentic.config.tool_parameters import (
    ParameterConfig,
    check_examples,
    check_parameters,
    check_tool_name,
)
from agentic.config.tool_places import Places, check_credentials, check_places

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Body = Literal["params", "json", "form", "none"]

BUILT_IN_NAMES = ("current_time",)
"""Of the tools that the server has without any declaration."""


def check_name(name: str) -> str:
    """Return `name` if a tool of the file may have it.

    Raises:
        ValueError: It may not.
    """
    if name in BUILT_IN_NAMES:
        raise ValueError("this name belongs to a built-in tool; choose another")
    return check_tool_name(name)


def _to_upper(method: object) -> object:
    return method.upper() if isinstance(method, str) else method


ToolName = Annotated[str, AfterValidator(check_name)]


class ToolConfig(CallLimits):
    """A plain HTTP endpoint, served as an MCP tool."""

    url: Url = Field(repr=False)
    """May hold a user and password, or a key in its query: never shown.

    Its path and query may have places for parameters: `/users/{id}`.
    """
    description: str = ""
    title: str | None = None
    method: Annotated[Method, BeforeValidator(_to_upper)] = "POST"
    parameters: dict[str, ParameterConfig] = Field(default_factory=dict[str, ParameterConfig])
    required: list[str] | None = None
    """Absent: the parameters without a default."""
    query: dict[str, str] = Field(default_factory=dict[str, str], repr=False)
    """Of the request, beside what stands in `url`; a value may have places for parameters."""
    headers: Headers = Field(default_factory=dict[str, SecretStr])
    """Those that are no credentials may have places for parameters.

    One that is a single parameter is left out where that is, as in `query`.
    """
    body: Body | None = None
    """What the parameters that have no place of their own are sent as.

    `params`: `{"params": {…}, "request_id": …}`, answered by `{"result": …}` or `{"error": …}`;
    `json`: one object; `form`: as a web form; `none`: in the query. Absent: `none` for GET and
    DELETE, else `params`. Unless it is `params`, an answer is whatever JSON or text comes.
    """
    body_parameter: str | None = None
    """For `json`: the parameter that is all of the body, instead of an object of several."""
    result: Annotated[str, AfterValidator(check_selection)] | None = None
    """JMESPath: which part of the answer is the result. Absent: all of it."""
    output: dict[str, JsonValue] | None = None
    """JSON Schema that each result has to fit."""
    examples: list[dict[str, JsonValue]] = Field(
        default_factory=list[dict[str, JsonValue]], max_length=10
    )
    """Arguments of calls, shown to models."""
    auth: AuthConfig | None = None
    requires_auth: bool = False
    token: SecretStr | None = None
    """Short for `auth: {bearer: …}`.

    `requires_auth` is met by either, by a user in `url`, or by a header or query parameter whose
    name says that it is a credential (`Authorization`, `X-API-Key`); else the tool is unavailable.
    """
    missing_variables: tuple[str, ...] = Field(default=(), exclude=True)
    """Variables that credentials name and that are not set; those are left out."""
    private_network: bool = False
    """Whether `url`, which names no private host itself, may lead into the private network."""
    read_only: bool | None = None
    """Whether calls change nothing. Absent: GET does not, all else may."""
    destructive: bool | None = None
    """Whether calls undo or overwrite what can't be had back. Absent: DELETE does; else unknown."""
    idempotent: bool | None = None
    """Whether a repeated call changes nothing more. Absent: GET, PUT and DELETE, as HTTP says."""
    only_in_steps: bool = False
    """Whether it is no tool of its own, but for tools of steps to call."""
    source: str | None = Field(default=None, exclude=True)
    """The entry of the file that it was made from, if that is not its own."""
    operation: str = Field(default="", exclude=True)
    """Its key there."""
    has_own_rate: bool = Field(default=False, exclude=True)
    """Whether `rate_limit` is its own and not that of all calls to its source."""
    wants: str = Field(default="", exclude=True)
    """What its source says that a caller has to prove who it is by, in words."""

    @property
    def body_kind(self) -> Body:
        """`body`, or what is usual for the method."""
        return self.body or ("none" if self.method in ("GET", "DELETE") else "params")

    @property
    def is_read_only(self) -> bool:
        """`read_only`, or what HTTP says of the method."""
        return self.method == "GET" if self.read_only is None else self.read_only

    @property
    def is_idempotent(self) -> bool:
        """`idempotent`, or what HTTP says of the method."""
        if self.idempotent is None:
            return self.is_read_only or self.method in ("PUT", "DELETE")
        return self.idempotent

    @property
    def is_destructive(self) -> bool | None:
        """`destructive`, or what is known; None: nothing."""
        if self.destructive is None and self.is_read_only:
            return False
        if self.destructive is None and self.method == "DELETE":
            return True
        return self.destructive

    @property
    def places(self) -> Places:
        """Where in the request its parameters go."""
        return Places.find(self.url, self.query, self.headers)

    @field_validator("headers")
    @classmethod
    def _check_own_headers(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name in headers:
            if name.lower() in SET_FOR_EACH_REQUEST:
                raise ValueError(f"{name} is set for each request; leave it out")
        return headers

    @field_validator("token")
    @classmethod
    def _check_token(cls, token: SecretStr | None) -> SecretStr | None:
        text = "" if token is None else token.get_secret_value().strip()
        if not (text.isascii() and text.isprintable()):
            raise ValueError("should be printable ASCII on one line")
        return token

    @field_validator("output")
    @classmethod
    def _check_output(cls, output: dict[str, JsonValue] | None) -> dict[str, JsonValue] | None:
        if output is not None:
            from agentic.config.json_schema import check_schema  # slow to import

            check_schema(output)
        return output

    @model_validator(mode="after")
    def _check_parameters(self) -> Self:
        check_parameters(self.parameters, self.required)
        if self.method == "GET" and self.body_kind != "none":
            raise WrongFieldError(("body",), "GET sends none: leave it out, or choose a method")
        check_places(
            self.places, self.parameters, self.required, self.body_kind, self.body_parameter
        )
        check_credentials(self.headers, self.parameters)
        check_examples(self.examples, self.parameters, self.required)
        return self

    @model_validator(mode="after")
    def _check_hints(self) -> Self:
        if self.read_only and self.method in ("PUT", "PATCH", "DELETE"):
            raise WrongFieldError(("read_only",), f"{self.method} is for changing something")
        if self.is_read_only and self.destructive:
            raise WrongFieldError(("destructive",), "what is read-only destroys nothing")
        if self.is_read_only and self.idempotent is False:
            raise WrongFieldError(("idempotent",), "what is read-only may always be repeated")
        if self.cache_seconds is not None and not self.is_read_only:
            raise WrongFieldError(("cache_seconds",), "is for tools that are read_only: true")
        if self.cache_shared and self.cache_seconds is None:
            raise WrongFieldError(("cache_shared",), "goes with cache_seconds")
        return self

    @model_validator(mode="after")
    def _check_auth(self) -> Self:
        if self.auth is None:
            return self
        if self.token is not None:
            raise WrongFieldError(("token",), "stands beside auth; keep one of them")
        if self.auth.uses_authorization and "authorization" in map(str.lower, self.headers):
            raise WrongFieldError(("headers", "Authorization"), "is set by auth; keep one of them")
        if self.auth.oauth is not None:
            check_token_url(self.auth.oauth, private_network=self.private_network)
        return self
