"""A local server that speaks Anthropic's Messages API and refuses what the vendor would refuse."""

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from tests.fakes.model_server import FakeModelServer, open_model_server
from tests.fakes.replies import Fail, FakeReply, Say, split
from tests.fakes.streaming_http import HttpRequest

KEY = "sk-ant-a-key-of-the-tests"
MODEL = "claude-of-the-tests"
SIGNATURE = "c2lnbmF0dXJl"
_ID = re.compile(r"[a-zA-Z0-9_-]+")
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_IMAGE_TYPES = {"image/png", "image/jpeg", "image/gif", "image/webp"}
_MAX_CACHE_MARKS = 4


def open_anthropic_server(
    *replies: FakeReply, key: str = KEY
) -> AbstractAsyncContextManager[FakeModelServer]:
    """Serve these replies, one for each request."""
    return open_model_server(_MessagesFormat(key), replies)


class _MessagesFormat:
    path = "/v1/messages"
    content_type = "text/event-stream; charset=utf-8"

    def __init__(self, key: str) -> None:
        self._key = key

    def refuse(self, request: HttpRequest) -> Fail | None:
        sent = request.headers.get("x-api-key") or request.headers.get("authorization", "")
        if sent.removeprefix("Bearer ") != self._key:
            return Fail(401, "authentication_error", f"invalid key: {sent}")
        if "anthropic-version" not in request.headers:
            return Fail(400, "invalid_request_error", "anthropic-version: header is required")
        try:
            check_messages_body(request.json())
        except ValueError as error:
            return Fail(400, "invalid_request_error", str(error))
        return None

    def event(self, data: object) -> bytes:
        name = data.get("type", "unknown") if isinstance(data, dict) else "unknown"  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()

    def fail(self, code: str, message: str) -> dict[str, Any]:
        return {
            "type": "error",
            "error": {"type": code, "message": message},
            "request_id": "req_of_the_tests",
        }

    def fail_headers(self, code: str) -> Mapping[str, str]:
        return {}

    def begin(self, text: str) -> list[bytes]:
        return [self.event(event) for event in [_start(Say()), *_text_block(0, text)[:-1]]]

    def say(self, reply: Say) -> list[bytes]:
        blocks: list[list[dict[str, Any]]] = []
        if reply.thoughts:
            blocks.append(_thinking_block(len(blocks), reply.thoughts))
        if reply.text:
            blocks.append(_text_block(len(blocks), reply.text))
        for call in reply.calls:
            start: dict[str, Any] = {
                "type": "tool_use",
                "id": call.id,
                "name": call.name,
                "input": {},
            }
            pieces = [
                {"type": "input_json_delta", "partial_json": piece}
                for piece in ["", *split(call.text())]
            ]
            blocks.append(_block(len(blocks), start, pieces))
        stop = reply.stop or ("tool_use" if reply.calls else "end_turn")
        events = [_start(reply), {"type": "ping"}, *(event for block in blocks for event in block)]
        end = {
            "type": "message_delta",
            "delta": {"stop_reason": stop, "stop_sequence": None},
            "usage": {"output_tokens": reply.output_tokens},
        }
        return [self.event(event) for event in [*events, end, {"type": "message_stop"}]]


def check_messages_body(body: Mapping[str, Any]) -> None:
    """The vendor's rules for a request.

    Raises:
        ValueError: One is broken; in about the vendor's words.
    """
    if missing := {"model", "max_tokens", "messages"} - {*body}:
        raise ValueError(f"{missing}: Field required")
    if body["max_tokens"] < 1 or body.get("stream") is not True:
        raise ValueError("max_tokens, stream: Input should be greater than 0, and true")
    for block in body.get("system", []):
        _check_block(block, {"text"})
    _check_tools(body.get("tools", []))
    _check_conversation(body["messages"])
    if json.dumps(body).count('"cache_control"') > _MAX_CACHE_MARKS:
        raise ValueError("A maximum of 4 blocks with cache_control may be provided")


def _check_tools(tools: Sequence[Mapping[str, Any]]) -> None:
    names = [tool["name"] for tool in tools]
    if len({*names}) != len(names):
        raise ValueError("tools: Tool names must be unique")
    for tool in tools:
        schema = tool["input_schema"]
        if not _TOOL_NAME.fullmatch(tool["name"]) or schema.get("type") != "object":
            raise ValueError("tools: String should match pattern; input_schema.type: object")
        if {"oneOf", "allOf", "anyOf"} & {*schema}:
            raise ValueError(
                "input_schema does not support oneOf, allOf, or anyOf at the top level"
            )


def _check_conversation(messages: Sequence[Mapping[str, Any]]) -> None:
    if not messages or messages[0]["role"] != "user":
        raise ValueError("messages: first message must use the user role")
    if messages[-1]["role"] != "user":
        raise ValueError("This model does not support assistant message prefill")
    calls: list[str] = []
    seen: set[str] = set()
    for position, message in enumerate(messages):
        if position and message["role"] == messages[position - 1]["role"]:
            raise ValueError(f"messages.{position}: roles must alternate")
        if not message["content"]:
            raise ValueError(f"messages.{position}: all messages must have non-empty content")
        results = [b["tool_use_id"] for b in message["content"] if b["type"] == "tool_result"]
        if sorted(results) != sorted(calls):
            raise ValueError(f"messages.{position}: tool_use ids without tool_result, or reverse")
        allowed = {
            "user": {"text", "image", "tool_result"},
            "assistant": {"text", "tool_use", "thinking"},
        }[message["role"]]
        for block in message["content"]:
            _check_block(block, allowed)
        calls = [b["id"] for b in message["content"] if b["type"] == "tool_use"]
        if len({*calls}) != len(calls) or seen & {*calls}:
            raise ValueError(f"messages.{position}: tool_use ids must be unique")
        seen.update(calls)


def _check_block(block: Mapping[str, Any], allowed: set[str]) -> None:
    if block["type"] not in allowed:
        raise ValueError(f"Input tag '{block['type']}' does not match any of the expected tags")
    match block:
        case {"type": "text", "text": str(text)}:
            if not text.strip():
                raise ValueError("text content blocks must contain non-whitespace text")
        case {"type": "image", "source": source}:
            _check_image(source)
        case {"type": "tool_use", "id": str(call_id), "name": str(name), "input": dict()}:
            if not _ID.fullmatch(call_id) or not _TOOL_NAME.fullmatch(name):
                raise ValueError("tool_use.id, name: String should match pattern")
        case {"type": "thinking", "thinking": str(), "signature": "c2lnbmF0dXJl"}:
            pass
        case {"type": "tool_result", "tool_use_id": str()}:
            _check_result(block)
        case _:
            raise ValueError(f"{block['type']}: Field required")


def _check_result(block: Mapping[str, Any]) -> None:
    for part in block.get("content", []):
        _check_block(part, {"text", "image"})
    if block.get("is_error") and not block.get("content"):
        raise ValueError("tool_result: content cannot be empty if is_error is true")


def _check_image(source: Mapping[str, Any]) -> None:
    if source["type"] != "base64" or source["media_type"] not in _IMAGE_TYPES:
        raise ValueError("image.source.media_type: Input should be a known image type")
    try:
        base64.b64decode(source["data"], validate=True)
    except binascii.Error:
        raise ValueError("image.source.base64: invalid base64 data") from None


def _start(reply: Say) -> dict[str, Any]:
    usage = {
        "input_tokens": reply.input_tokens - reply.cached_tokens,
        "cache_read_input_tokens": reply.cached_tokens,
        "cache_creation_input_tokens": 0,
        "output_tokens": 1,
    }
    message: dict[str, Any] = {
        "id": "msg_of_the_tests",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [],
        "stop_reason": None,
        "usage": usage,
    }
    return {"type": "message_start", "message": message}


def _block(
    index: int, start: Mapping[str, Any], deltas: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def _text_block(index: int, text: str) -> list[dict[str, Any]]:
    deltas = [{"type": "text_delta", "text": piece} for piece in split(text)]
    return _block(index, {"type": "text", "text": ""}, deltas)


def _thinking_block(index: int, thoughts: str) -> list[dict[str, Any]]:
    deltas = [{"type": "thinking_delta", "thinking": piece} for piece in split(thoughts)]
    signature = {"type": "signature_delta", "signature": SIGNATURE}
    return _block(
        index, {"type": "thinking", "thinking": "", "signature": ""}, [*deltas, signature]
    )
