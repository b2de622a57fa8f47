"""Breaks the protocol, its WAY: `python -m tests.fakes.mcp_servers.liar WAY [modern]`."""

import sys
from collections.abc import Mapping
from typing import Any

from tests.fakes.mcp_servers.wire import list_once, send, serve, text, tool

_GOOD = tool("good")
_QUESTION: dict[str, Any] = {
    "method": "elicitation/create",
    "params": {"message": "Who?", "requestedSchema": {"type": "object", "properties": {}}},
}
_ASK = {"maxTokens": 1, "messages": [{"role": "user", "content": {"type": "text", "text": "?"}}]}
_OWN_SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
_LISTS: dict[str, list[dict[str, Any]]] = {
    "results": [
        _GOOD,
        *(tool(name) for name in ("not_a_list", "unknown_block", "empty", "number")),
        tool("against_schema", outputSchema=_OWN_SCHEMA),
        tool("huge"),
        tool("error"),
        tool("asks"),
        tool("samples"),
    ],
    "many": [tool(f"tool_{number}") for number in range(10_000)],
    "twins": [_GOOD, tool("good", description="another"), tool("a.b"), tool("a b")],
    "names": [
        _GOOD,
        tool(""),
        tool("x" * 100),
        tool("dotted.name"),
        tool("ünïcode/✓"),
        tool("\x1b[31mred"),
        tool("y" * 1_000),
    ],
    "texts": [
        tool(
            "good",
            title="\x1b]0;title\x07Good\u202e",
            description="Does\x00 it.\U000e0041\U000e0042 " + "x" * 100_000,
            inputSchema={
                "type": "object",
                "properties": {
                    "q": {"type": "string", "description": "what\U000e0043", "enum": ["\u200b"]}
                },
            },
        )
    ],
    "schemas": [
        _GOOD,
        tool("text", inputSchema="no schema"),
        tool("array", inputSchema={"type": "array"}),
        tool("untyped", inputSchema={}),
        tool("wrong", inputSchema={"type": "object", "properties": {"q": {"type": "strnig"}}}),
        tool("large", inputSchema={"type": "object", "description": "x" * 200_000}),
        {"description": "nameless"},
        "no tool at all",  # type: ignore[list-item]
    ],
    "endless": [],
    "no_list": [],
}


def main(way: str, *, modern: bool) -> None:
    def list_tools(cursor: str | None) -> Mapping[str, Any]:
        if way == "endless":
            page = int(cursor or 0)
            return {"tools": [tool(f"tool_{page}")], "nextCursor": str(page + 1)}
        return {"tools": 7} if way == "no_list" else list_once(_LISTS[way])(cursor)

    serve(list_tools, call, modern=modern)


def call(name: str, _arguments: object) -> Mapping[str, Any] | None:
    match name:
        case "not_a_list":
            return {"content": "text"}
        case "unknown_block":
            return {"content": [{"type": "hologram"}]}
        case "empty":
            return {}
        case "number":
            return {"content": 5, "isError": "perhaps"}
        case "against_schema":
            return text("here", structuredContent={"n": "no number"})
        case "huge":
            return text("x" * 5_000_000)
        case "samples":
            send(
                {"jsonrpc": "2.0", "id": "mine", "method": "sampling/createMessage", "params": _ASK}
            )
            return text(sys.stdin.readline())
        case "asks":
            return {"resultType": "input_required", "inputRequests": {"who": _QUESTION}}
        case _:
            return text("true")


if __name__ == "__main__":
    main(sys.argv[1], modern="modern" in sys.argv)
