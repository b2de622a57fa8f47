"""What a call of a declared tool may take, whatever the tool is declared by."""

from typing import Annotated

from pydantic import AfterValidator, Field

from agentic.config.frozen import Frozen
from agentic.config.rate_limit import parse_rate_limit


def _check_rate(text: str) -> str:
    parse_rate_limit(text)
    return text


class CallLimits(Frozen):
    """The fields that a tool has in common with a source of tools and with one operation of it."""

    timeout_seconds: float = Field(default=30.0, gt=0, le=600, alias="timeout")
    """Of a whole call: waiting for its turn, all attempts, reading the answer."""
    confirm: bool = False
    """Whether each call waits for a person's consent."""
    retries: int = Field(default=0, ge=0, le=10)
    """Further attempts after a failure that may pass, where repeating is safe.

    That is: calls that are read-only or idempotent, and connections that were never made.
    """
    rate_limit: Annotated[str, AfterValidator(_check_rate)] | None = None
    """Such as 10/minute. Calls over it wait, within their time limit."""
    cache_seconds: float | None = Field(default=None, gt=0, le=86_400)
    """How long the answer to the same arguments is used again; for tools that are read-only."""
    cache_shared: bool = False
    """Whether one owner may get what another asked for."""
    max_response_bytes: int = Field(default=524_288, gt=0, le=16_777_216)
    """After decompression. Clients take 1 MiB per result, which holds the answer and its text."""
