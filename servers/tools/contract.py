"""What crosses the wire between the tools server and its clients, beyond MCP's own shapes."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

CONFIRM_META_KEY = "agentic/confirm"
"""In `_meta` of a tool whose calls wait for a person's consent: true."""

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
