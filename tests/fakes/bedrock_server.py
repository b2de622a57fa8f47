"""A local server that speaks Bedrock's Converse API and refuses what AWS would refuse."""

import base64
import binascii
import json
import re
import struct
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import quote

from tests.fakes.aws_signature import SESSION_TOKEN, is_signed
from tests.fakes.model_server import FakeModelServer, open_model_server
from tests.fakes.replies import Fail, FakeReply, Say, split
from tests.fakes.streaming_http import HttpRequest

KEY = SESSION_TOKEN
MODEL = "eu.anthropic.claude-sonnet-4-of-the-tests-v1:0"
SIGNATURE = "c2lnbmF0dXJl"
_KEEPS_PREFIXES = re.compile(r"claude-(sonnet|opus|haiku)-[4-9]")
_CODES: Mapping[str, str] = {
    "authentication_error": "UnrecognizedClientException",
    "permission_error": "AccessDeniedException",
    "not_found_error": "ResourceNotFoundException",
    "invalid_request_error": "ValidationException",
    "context_length_exceeded": "ValidationException",
    "rate_limit_error": "ThrottlingException",
    "overloaded_error": "ServiceUnavailableException",
    "api_error": "InternalServerException",
}
"""AWS's words for what the tests of all vendors name."""
_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MAX_CACHE_POINTS = 4


def open_bedrock_server(
    *replies: FakeReply, model: str = MODEL
) -> AbstractAsyncContextManager[FakeModelServer]:
    """Serve these replies, one for each request."""
    return open_model_server(_ConverseFormat(model), replies)


class _ConverseFormat:
    content_type = "application/vnd.amazon.eventstream"

    def __init__(self, model: str) -> None:
        self.path = f"/model/{quote(model, safe='')}/converse-stream"
        self._model = model

    def refuse(self, request: HttpRequest) -> Fail | None:
        if not is_signed(request):
            sent = request.headers.get("x-amz-security-token")
            return Fail(403, "UnrecognizedClientException", f"The security token {sent} is invalid")
        try:
            check_converse_body(request.json(), model=self._model)
        except ValueError as error:
            return Fail(400, "ValidationException", str(error))
        return None

    def event(self, data: Any) -> bytes:
        """A dictionary of one event, or what `fail` made, or anything else as its payload."""
        match data:
            case {"__type": str(code), "message": message}:
                name = code[:1].lower() + code[1:]
                headers = {":exception-type": name, ":message-type": "exception"}
                return encode_frame(headers, json.dumps({"message": message}).encode())
            case {"name": str(name), "payload": payload}:
                headers = {":event-type": name, ":message-type": "event"}
                return encode_frame(headers, json.dumps(payload).encode())
            case _:
                return encode_frame({":message-type": "event"}, json.dumps(data).encode())

    def fail(self, code: str, message: str) -> dict[str, Any]:
        return {"__type": _CODES.get(code, code), "message": message}

    def fail_headers(self, code: str) -> Mapping[str, str]:
        return {"x-amzn-ErrorType": f"{_CODES.get(code, code)}:http://internal.amazon.com/"}

    def begin(self, text: str) -> list[bytes]:
        return [self.event(event) for event in [_start(), *_text_block(0, text)[:-1]]]

    def say(self, reply: Say) -> list[bytes]:
        blocks: list[list[dict[str, Any]]] = []
        if reply.thoughts:
            blocks.append(_reasoning_block(len(blocks), reply.thoughts))
        if reply.text:
            blocks.append(_text_block(len(blocks), reply.text))
        for call in reply.calls:
            start = {"toolUse": {"toolUseId": call.id, "name": call.name}}
            deltas = [{"toolUse": {"input": piece}} for piece in ["", *split(call.text())]]
            blocks.append(_block(len(blocks), deltas, start))
        stop = reply.stop or ("tool_use" if reply.calls else "end_turn")
        usage = {
            "inputTokens": reply.input_tokens - reply.cached_tokens,
            "cacheReadInputTokens": reply.cached_tokens,
            "cacheWriteInputTokens": 0,
            "outputTokens": reply.output_tokens,
            "totalTokens": reply.input_tokens + reply.output_tokens,
        }
        events = [
            _start(),
            *(event for block in blocks for event in block),
            named("messageStop", stopReason=stop),
            named("metadata", usage=usage, metrics={"latencyMs": 7}),
        ]
        return [self.event(event) for event in events]


def named(name: str, **payload: Any) -> dict[str, Any]:
    """One event, padded as AWS pads it against those who watch sizes."""
    return {"name": name, "payload": {**payload, "p": "abcdef"}}


def encode_frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message of `application/vnd.amazon.eventstream`: lengths, checksums, headers, payload."""
    encoded = b"".join(
        struct.pack("!B", len(name))
        + name.encode()
        + struct.pack("!BH", 7, len(value.encode()))
        + value.encode()
        for name, value in {**headers, ":content-type": "application/json"}.items()
    )
    prelude = struct.pack("!II", 12 + len(encoded) + len(payload) + 4, len(encoded))
    body = prelude + struct.pack("!I", binascii.crc32(prelude)) + encoded + payload
    return body + struct.pack("!I", binascii.crc32(body))


def check_converse_body(body: Mapping[str, Any], *, model: str = MODEL) -> None:
    """The vendor's rules for a request.

    Raises:
        ValueError: One is broken; in about the vendor's words.
    """
    if body["inferenceConfig"]["maxTokens"] < 1 or not body["messages"]:
        raise ValueError("Value at 'inferenceConfig.maxTokens' failed to satisfy constraint")
    tools = body.get("toolConfig", {"tools": [{}]})["tools"]
    if not tools:
        raise ValueError("toolConfig.tools: Member must have length greater than or equal to 1")
    for tool in tools:
        _check_tool(tool)
    _check_conversation(body["messages"], has_tools="toolConfig" in body)
    marks = json.dumps(body).count('"cachePoint"')
    if marks > _MAX_CACHE_POINTS or (marks and not _KEEPS_PREFIXES.search(model)):
        raise ValueError("You invoked an unsupported model or your request did not allow caching.")


def _check_tool(tool: Mapping[str, Any]) -> None:
    match tool:
        case {"toolSpec": {"name": str(name), "inputSchema": {"json": schema}, **rest}}:
            if not _NAME.fullmatch(name) or rest.get("description") == "":
                raise ValueError("toolSpec.name: Member must satisfy regular expression pattern")
            if schema.get("type") != "object" or {"oneOf", "allOf", "anyOf"} & {*schema}:
                raise ValueError("The value at toolConfig.tools.0.toolSpec.inputSchema.json.type")
        case {"cachePoint": {"type": "default"}}:
            pass
        case _ if tool:
            raise ValueError("toolConfig.tools: unknown member")
        case _:
            pass


def _check_conversation(messages: Sequence[Mapping[str, Any]], *, has_tools: bool) -> None:
    if messages[0]["role"] != "user" or messages[-1]["role"] != "user":
        raise ValueError("A conversation must start and end with a user message.")
    calls: list[str] = []
    for position, message in enumerate(messages):
        if position and message["role"] == messages[position - 1]["role"]:
            raise ValueError("A conversation must alternate between user and assistant roles.")
        content = message["content"]
        if not content or "cachePoint" in content[0]:
            raise ValueError(f"The content field in the Message object at {position} is empty.")
        results = [b["toolResult"]["toolUseId"] for b in content if "toolResult" in b]
        if sorted(results) != sorted(calls):
            raise ValueError("Expected toolResult blocks for the Ids of the toolUse blocks.")
        calls = [b["toolUse"]["toolUseId"] for b in content if "toolUse" in b]
        if len({*calls}) != len(calls):
            raise ValueError("The toolUse blocks contain duplicate Ids.")
        if (calls or results) and not has_tools:
            raise ValueError(
                "The toolConfig field must be defined when using toolUse and toolResult content."
            )
        for block in content:
            _check_block(block, message["role"])


def _check_block(block: Mapping[str, Any], role: str) -> None:
    (kind,) = block
    allowed = {"assistant": {"text", "toolUse", "reasoningContent", "cachePoint"}}.get(
        role, {"text", "image", "toolResult", "cachePoint"}
    )
    if kind not in allowed:
        raise ValueError(f"The {role} message cannot contain {kind}.")
    if kind == "toolResult":
        if not block["toolResult"]["content"]:
            raise ValueError("toolResult: content is empty")
        for part in block["toolResult"]["content"]:
            _check_content(part)
    else:
        _check_content(block)


def _check_content(block: Mapping[str, Any]) -> None:
    match block:
        case {"text": str(text)}:
            if not text.strip():
                raise ValueError("The text field in the ContentBlock object is blank.")
        case {"image": {"format": "png" | "jpeg" | "gif" | "webp", "source": {"bytes": str(data)}}}:
            base64.b64decode(data, validate=True)
        case {"toolUse": {"toolUseId": str(call_id), "name": str(name), "input": dict()}}:
            if not _ID.fullmatch(call_id) or not _NAME.fullmatch(name):
                raise ValueError("toolUse: Member must satisfy regular expression pattern")
        case {"reasoningContent": {"reasoningText": {"text": str(), "signature": str(signature)}}}:
            if not signature:
                raise ValueError("Invalid `signature` in `thinking` block")
        case {"reasoningContent": {"redactedContent": str(data)}}:
            base64.b64decode(data, validate=True)
        case {"cachePoint": {"type": "default"}}:
            pass
        case _:
            raise ValueError(f"Unknown member in ContentBlock: {[*block]}")


def _start() -> dict[str, Any]:
    return named("messageStart", role="assistant")


def _block(
    index: int, deltas: Sequence[Mapping[str, Any]], start: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    begins = [named("contentBlockStart", contentBlockIndex=index, start=start)] if start else []
    return [
        *begins,
        *(named("contentBlockDelta", contentBlockIndex=index, delta=delta) for delta in deltas),
        named("contentBlockStop", contentBlockIndex=index),
    ]


def _text_block(index: int, text: str) -> list[dict[str, Any]]:
    return _block(index, [{"text": piece} for piece in split(text)])


def _reasoning_block(index: int, thoughts: str) -> list[dict[str, Any]]:
    deltas = [{"reasoningContent": {"text": piece}} for piece in split(thoughts)]
    return _block(index, [*deltas, {"reasoningContent": {"signature": SIGNATURE}}])
