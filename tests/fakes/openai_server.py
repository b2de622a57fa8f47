"""A local server that speaks chat completions and refuses what OpenAI would refuse."""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from tests.fakes.model_server import FakeModelServer, open_model_server
from tests.fakes.replies import Fail, FakeReply, Say, split
from tests.fakes.streaming_http import HttpRequest

KEY = "sk-a-key-of-the-tests"
MODEL = "gpt-of-the-tests"
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MAX_ID_CHARACTERS = 40
_MAX_DESCRIPTION_CHARACTERS = 1_024
_REFUSED_AT_THE_TOP = {"oneOf", "anyOf", "allOf", "enum", "not"}


def open_openai_server(
    *replies: FakeReply, key: str | None = KEY
) -> AbstractAsyncContextManager[FakeModelServer]:
    """Serve these replies, one for each request; without a `key` none may be sent."""
    return open_model_server(ChatFormat(key), replies, "/v1")


class ChatFormat:
    """Chat completions on the wire."""

    path = "/v1/chat/completions"
    content_type = "text/event-stream; charset=utf-8"

    def __init__(self, key: str | None) -> None:
        self._authorization = None if key is None else f"Bearer {key}"

    def refuse(self, request: HttpRequest) -> Fail | None:
        sent = request.headers.get("authorization")
        if sent != self._authorization:
            return Fail(401, "invalid_api_key", f"Incorrect API key provided: {sent}.")
        try:
            check_chat_body(request.json())
        except ValueError as error:
            return Fail(400, "invalid_request_error", str(error))
        return None

    def event(self, data: object) -> bytes:
        return f"data: {json.dumps(data)}\n\n".encode()

    def fail(self, code: str, message: str) -> dict[str, Any]:
        return {"error": {"message": message, "type": "error", "param": None, "code": code}}

    def fail_headers(self, code: str) -> Mapping[str, str]:
        return {}

    def begin(self, text: str) -> list[bytes]:
        deltas = [{"role": "assistant", "content": ""}, *({"content": p} for p in split(text))]
        return [self.event(_chunk(delta)) for delta in deltas]

    def say(self, reply: Say) -> list[bytes]:
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"reasoning_content": piece} for piece in split(reply.thoughts)]
        deltas += [{"content": piece} for piece in split(reply.text)]
        for index, call in enumerate(reply.calls):
            first = {"name": call.name, "arguments": ""}
            whole = {"index": index, "id": call.id, "type": "function", "function": first}
            deltas.append({"tool_calls": [whole]})
            deltas += [
                {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
                for piece in split(call.text())
            ]
        stop = reply.stop or ("tool_calls" if reply.calls else "stop")
        usage = {
            "prompt_tokens": reply.input_tokens,
            "completion_tokens": reply.output_tokens,
            "prompt_tokens_details": {"cached_tokens": reply.cached_tokens},
        }
        chunks = [_chunk(delta) for delta in deltas]
        chunks += [_chunk({}, stop), {**_chunk({}), "choices": [], "usage": usage}]
        return [*(self.event(chunk) for chunk in chunks), b"data: [DONE]\n\n"]


def check_chat_body(body: Mapping[str, Any]) -> None:
    """OpenAI's rules for a request.

    Raises:
        ValueError: One is broken; in about the vendor's words.
    """
    if not isinstance(body.get("model"), str) or not body.get("messages"):
        raise ValueError("Missing required parameter: 'model' or 'messages'.")
    if body.get("stream") is not True or ("max_tokens" in body) == (
        "max_completion_tokens" in body
    ):
        raise ValueError("Expected a stream, and one of max_tokens and max_completion_tokens.")
    for tool in body.get("tools", []):
        _check_tool(tool["function"])
    _check_conversation(body["messages"])


def _check_tool(function: Mapping[str, Any]) -> None:
    schema = function["parameters"]
    if not _NAME.fullmatch(function["name"]):
        raise ValueError("Invalid 'tools[0].function.name': string does not match pattern.")
    if len(function["description"]) > _MAX_DESCRIPTION_CHARACTERS:
        raise ValueError("Invalid 'tools[0].function.description': string too long.")
    if schema.get("type") != "object" or _REFUSED_AT_THE_TOP & {*schema}:
        raise ValueError("Invalid schema: schema must have type 'object' and no choice at the top.")
    if "properties" not in schema:
        raise ValueError("Invalid schema: object schema missing properties.")


def _check_conversation(messages: Sequence[Mapping[str, Any]]) -> None:
    calls: list[str] = []
    for position, message in enumerate(messages):
        role = message["role"]
        if role == "tool":
            if message["tool_call_id"] not in calls or not isinstance(message["content"], str):
                raise ValueError("messages with role 'tool' must answer a preceding 'tool_calls'.")
            calls.remove(message["tool_call_id"])
            continue
        if calls:
            raise ValueError(f"tool_call_ids did not have response messages: {calls}")
        if role == "system" and position:
            raise ValueError("System message must be at the beginning.")
        if position and role == messages[position - 1]["role"]:
            raise ValueError("Conversation roles must alternate user/assistant.")
        _check_content(message)
        calls = [_check_call(call) for call in message.get("tool_calls", [])]
        if len({*calls}) != len(calls):
            raise ValueError("tool_call ids must be unique")
    if calls or messages[-1]["role"] not in ("user", "tool"):
        raise ValueError("The last message must be the user's or a tool's.")


def _check_content(message: Mapping[str, Any]) -> None:
    content = message["content"]
    if content is None and message["role"] == "assistant" and message.get("tool_calls"):
        return
    if isinstance(content, str) and content.strip():
        return
    if message["role"] != "user" or not content or isinstance(content, str):
        raise ValueError(f"Invalid value for 'content' of a {message['role']} message.")
    for block in content:
        if block["type"] == "image_url" and block["image_url"]["url"].startswith("data:image/"):
            continue
        if block["type"] != "text" or not block["text"]:
            raise ValueError("Invalid value for 'content': unknown or empty part.")


def _check_call(call: Mapping[str, Any]) -> str:
    if not 0 < len(call["id"]) <= _MAX_ID_CHARACTERS or call["type"] != "function":
        raise ValueError("Invalid 'tool_calls[0].id': string too long.")
    if not _NAME.fullmatch(call["function"]["name"]):
        raise ValueError("Invalid 'tool_calls[0].function.name': does not match pattern.")
    if not call["function"]["arguments"].startswith("{"):
        raise ValueError("Invalid 'tool_calls[0].function.arguments': no JSON object.")
    return call["id"]


def _chunk(delta: Mapping[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {
        "id": "chatcmpl-of-the-tests",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": MODEL,
        "choices": [choice],
    }
