"""What crosses the wire between the tools server and its clients, beyond MCP's own shapes."""

from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict

CONFIRM_META_KEY = "agentic/confirm"
"""In `_meta` of a tool whose calls wait for a person's consent: true."""

OWN_WORDS_META_KEY = "agentic/own-words"
"""In `_meta` of a tool of ours whose results hold nothing that others wrote: true.

Clients take everything else for words of others, which may plant orders.
"""

PROBLEM_META_KEY = "agentic/problem"
"""In `_meta` of a list of tools: why they are not what the server's `mcp.yml` says; absent if so.

Of what became wrong while the server runs, the last good form is served.
"""

ToolErrorCode = Literal[
    "invalid",  # an argument is wrong or unknown: `field` names it
    "not_found",  # no such tool
    "unavailable",  # the tool lacks a credential, or its endpoint can't be reached
    "timeout",  # the endpoint did not answer in time
    "failed",  # the endpoint answered with an error
    "too_large",  # the answer is over the limit
    "forbidden",  # the principal lacks a scope
]


class ToolErrorDetail(BaseModel):
    """Why a tool's call failed, for a program."""

    model_config = ConfigDict(frozen=True)

    code: ToolErrorCode
    message: str
    field: str | None = None
    retry_after_seconds: float | None = None


class ToolErrorResult(BaseModel):
    """`structured_content` of a result with `is_error`."""

    error: ToolErrorDetail


USAGE_URI = "tool-usage://own"
"""The resource with a `UsageReport` about the caller's owner."""
USAGE_OF_ALL_URI = "tool-usage://all"
"""The same about every owner, for a principal with `delegate`.

Behind either may stand `?since=2026-01-31`: a day in UTC, within the last 90.
"""


class ToolUsage(BaseModel):
    """How often an owner called a tool, how that went, how long it took."""

    model_config = ConfigDict(frozen=True)

    owner: str
    tool: str
    calls: int
    errors: dict[str, int]
    """Codes of `ToolErrorCode` and `cancelled`."""
    bytes_in: int
    """Of the endpoint's answers, as they came over the network."""
    p50_seconds: float
    p95_seconds: float
    p99_seconds: float


class UsageReport(BaseModel):
    """Of the tools server's own tools, most called first."""

    model_config = ConfigDict(frozen=True)

    since: date
    usage: list[ToolUsage]
    truncated: bool = False
    """Whether there are more."""


RESULT_SCHEME = "tool-result://"
"""Begins the URIs of answers that are kept for their owner: nobody can guess what follows.

Read by its plain URI one of `MAX_RESULT_PART_BYTES` at most comes whole. Behind it may stand
`?offset=0&length=524288`, for the bytes from there on, as a blob.
"""
MAX_RESULT_PART_BYTES = 524_288
RESULT_SIZE_META_KEY = "agentic/size"
"""In `_meta` of what is read: the whole answer's size in bytes."""
