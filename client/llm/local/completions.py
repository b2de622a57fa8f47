"""One request to the engine, in the chat completions it speaks, over plain HTTP."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from client.llm.exchange import Exchange, RawStream
from client.llm.failures import Service, explain_connection, parse_failure
from client.llm.http_client import create_http_client
from client.llm.local.engine import Engine
from client.llm.model_spec import parse_endpoint
from client.llm.openai_answer import OpenAIAnswer
from client.llm.protocol import ModelError, ModelRequest

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Response

_TITLE = "The embedded model"
_MAX_ERROR_BYTES = 65_536
_MIN_MOVED_TOKENS = 16
"""Parts of a prompt that have moved and are as long as this need not be read again."""


class Slot(IntEnum):
    """The engine's memories of what it has read, one for each kind of prompt."""

    CHOOSING = 0
    ANSWERING = 1
    PERSON = 2


@dataclass(frozen=True, slots=True)
class Step:
    """What is asked, how long the answer may be, and the grammar or the JSON Schema it must obey.

    `slot` is the engine's memory of what it has read; another step that begins as this one does
    should have the same.
    """

    messages: list[dict[str, str]]
    max_tokens: int
    slot: Slot
    temperature: float = 0.0
    grammar: str | None = None
    schema: Mapping[str, Any] | None = None


def to_message(role: str, content: str) -> dict[str, str]:
    """A message of the prompt."""
    return {"role": role, "content": content}


class _RefusedError(Exception):
    """The engine answered with an error."""

    def __init__(self, status: int | None, body: object) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


def prepare_step(
    engine: Engine,
    step: Step,
    request: ModelRequest,
    *,
    model: str,
    timeout_seconds: float,
    goes_on: bool,
) -> Exchange:
    """The request for one step. Call it in a thread: the HTTP library is read from disk.

    `goes_on`: parts of the slot's last prompt may be used where they stand now.
    """
    from httpx2 import HTTPError

    service = Service(_TITLE, model, "start again", secret=engine.key)
    client = create_http_client(parse_endpoint(engine.address), timeout_seconds)
    client.headers["Authorization"] = f"Bearer {engine.key}"
    return Exchange(
        ask=partial(_ask, client, _to_body(step, model, goes_on=goes_on)),
        close=client.aclose,
        answer=OpenAIAnswer(),
        failures=(HTTPError, ValueError, RecursionError, _RefusedError),
        explain=partial(_explain, service, request, timeout_seconds),
        service=service,
        timeout_seconds=timeout_seconds,
    )


def _to_body(step: Step, model: str, *, goes_on: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "messages": step.messages,
        "max_tokens": step.max_tokens,
        "temperature": step.temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
        "cache_prompt": True,
        "id_slot": step.slot,
        "n_cache_reuse": _MIN_MOVED_TOKENS if goes_on else 0,
    }
    if step.grammar is not None:
        body["grammar"] = step.grammar
    if step.schema is not None:
        schema = {"name": "answer", "schema": dict(step.schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


async def _ask(client: "AsyncClient", body: dict[str, Any]) -> RawStream:
    asked = client.build_request("POST", "/v1/chat/completions", json=body)
    response = await client.send(asked, stream=True)
    if response.is_success:
        return _Events(response)
    try:
        text = (await response.aread())[:_MAX_ERROR_BYTES].decode("utf-8", "replace")
    finally:
        await response.aclose()
    raise _RefusedError(response.status_code, _parse(text))


class _Events:
    """The data of a stream of server-sent events."""

    def __init__(self, response: "Response") -> None:
        self._response = response
        self._lines = response.aiter_lines()

    async def __anext__(self) -> object:
        async for line in self._lines:
            kind, _, data = line.partition(":")
            if kind == "error":  # llama.cpp's own way to say it
                raise _RefusedError(None, _parse(data))
            if kind != "data" or not data.strip():
                continue
            if data.strip() == "[DONE]":
                break
            event: object = json.loads(data)
            if isinstance(event, dict) and "error" in event:
                raise _RefusedError(None, cast("object", event))
            return cast("object", event)
        raise StopAsyncIteration

    async def close(self) -> None:
        await self._response.aclose()


def _parse(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _explain(
    service: Service, request: ModelRequest, timeout_seconds: float, error: Exception
) -> ModelError:
    if isinstance(error, _RefusedError):
        return service.explain(parse_failure(error.status, error.body, {}), request)
    return explain_connection(service, error, timeout_seconds)
