"""Bedrock's answers on the wire: binary frames of JSON, or an error in JSON."""

import json
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from client.llm.failures import Failure, parse_failure

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Request, Response

_FIELDS = TypeAdapter(dict[str, Any])
_MAX_ERROR_BYTES = 65_536
_STATUS_OF_CODES: Mapping[str, int] = {"ValidationException": 400}
"""Inside a stream errors have no status; AWS defines this one, which else would look passing."""


class RejectedError(Exception):
    """Bedrock answered with an error, at once or inside the stream."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.codes)
        self.failure = failure


class EventStream:
    """The events of one answer, as dictionaries with the event's name under `type`."""

    def __init__(self, response: "Response") -> None:
        from botocore.eventstream import EventStreamBuffer

        self._response = response
        self._chunks = response.aiter_bytes()
        self._frames = EventStreamBuffer()

    async def __anext__(self) -> object:
        """The next event; StopAsyncIteration at the end, also within a frame.

        Raises:
            RejectedError: It is an error.
            ValueError: What came is no such frame.
        """
        while (event := self._take()) is None:
            self._frames.add_data(await anext(self._chunks))
        return event

    async def close(self) -> None:
        """Give up the connection."""
        await self._response.aclose()

    def _take(self) -> dict[str, Any] | None:
        from botocore.eventstream import ParserError

        try:
            frame = next(self._frames, None)
        except (ParserError, LookupError, struct.error) as error:
            raise ValueError("no frame of an event stream") from error
        if frame is None:
            return None
        parts = frame.to_response_dict()
        return _parse_frame(parts["headers"], parts["body"])


async def open_event_stream(client: "AsyncClient", request: "Request") -> EventStream:
    """Send `request` and give the events of the answer.

    Raises:
        RejectedError: The answer is an error.
        httpx2.HTTPError: There is none.
    """
    response = await client.send(request, stream=True)
    if response.status_code == 200:
        return EventStream(response)
    try:
        body = b""
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > _MAX_ERROR_BYTES:
                break
    finally:
        await response.aclose()
    code = response.headers.get("x-amzn-errortype", "").partition(":")[0]
    raise RejectedError(_parse_error(response.status_code, code, body, response.headers))


def _parse_frame(headers: Mapping[str, Any], payload: bytes) -> dict[str, Any]:
    kind = headers.get(":message-type")
    if kind == "exception":
        raise RejectedError(_parse_error(None, str(headers.get(":exception-type")), payload, {}))
    if kind == "error":
        code, message = str(headers.get(":error-code")), str(headers.get(":error-message", ""))
        raise RejectedError(parse_failure(None, {"type": code, "message": message}, {}))
    fields = _FIELDS.validate_python(json.loads(payload))
    return {**fields, "type": headers.get(":event-type")}


def _parse_error(status: int | None, code: str, body: bytes, headers: Mapping[str, str]) -> Failure:
    """AWS spells the code in a header, or in the body with a namespace before it."""
    try:
        fields = _FIELDS.validate_python(json.loads(body))
    except (ValueError, RecursionError):
        fields = {}
    code = code or str(fields.get("__type", "")).rpartition("#")[2]
    code = code[:1].upper() + code[1:]
    message = fields.get("message") or fields.get("Message")
    if status is None:
        status = _STATUS_OF_CODES.get(code)
    return parse_failure(status, {"type": code, "message": message}, headers)
