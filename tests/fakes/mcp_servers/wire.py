"""JSON-RPC on standard streams without the SDK: a fake may break any rule, and starts fast."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Call = Callable[[str, Mapping[str, Any]], Mapping[str, Any] | None]
"""A tool's name and arguments → the result to answer with, or None for no answer."""

OLDER_VERSION = "2025-06-18"
MODERN_VERSION = "2026-07-28"


def tool(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "description": name, "inputSchema": {"type": "object"}, **fields}


def text(words: str, **fields: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": words}], **fields}


def send(message: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def list_once(tools: Sequence[Mapping[str, Any]]) -> Callable[[str | None], Mapping[str, Any]]:
    return lambda _cursor: {"tools": tools}


def serve(
    list_tools: Callable[[str | None], Mapping[str, Any]],
    call: Call,
    *,
    modern: bool = False,
) -> None:
    """Answer until standard input ends. In the older era only, unless `modern`."""
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        params: dict[str, Any] = message.get("params") or {}
        result = _answer(message["method"], params, list_tools, call, modern=modern)
        if result is not None:
            send({"jsonrpc": "2.0", "id": message["id"], **result})


def _answer(
    method: str,
    params: Mapping[str, Any],
    list_tools: Callable[[str | None], Mapping[str, Any]],
    call: Call,
    *,
    modern: bool,
) -> Mapping[str, Any] | None:
    extra = {"resultType": "complete"} if modern else {}
    cached = {"ttlMs": 0, "cacheScope": "private"} if modern else {}
    capabilities = {"tools": {"listChanged": True}}
    match method:
        case "server/discover" if modern:
            about = {"supportedVersions": [MODERN_VERSION], "capabilities": capabilities}
            return {"result": {**about, **extra, **cached}}
        case "initialize" if not modern:
            about = {"name": "fake", "version": "1"}
            return {
                "result": {
                    "protocolVersion": OLDER_VERSION,
                    "capabilities": capabilities,
                    "serverInfo": about,
                }
            }
        case "tools/list":
            return {"result": {**extra, **cached, **list_tools(params.get("cursor"))}}
        case "tools/call":
            result = call(params["name"], params.get("arguments") or {})
            return None if result is None else {"result": {**extra, **result}}
        case _:
            return {"error": {"code": -32601, "message": "Method not found"}}
