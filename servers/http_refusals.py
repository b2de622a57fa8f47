"""Refusals over HTTP that an MCP client can show: a status, and an error of JSON-RPC."""

from collections.abc import Mapping

from mcp_types import INVALID_REQUEST, ErrorData, JSONRPCError
from starlette.responses import Response

_CLOSE = {"connection": "close"}


def refuse(
    status: int,
    message: str,
    headers: Mapping[str, str] | None = None,
    *,
    code: int = INVALID_REQUEST,
) -> Response:
    """The answer to a request that isn't served. Its connection ends: its body may be unread."""
    error = JSONRPCError(jsonrpc="2.0", id=None, error=ErrorData(code=code, message=message))
    return Response(
        error.model_dump_json(exclude_unset=True),
        status_code=status,
        headers={**_CLOSE, **(headers or {})},
        media_type="application/json",
    )
