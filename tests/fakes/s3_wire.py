"""Faults on the way to S3 and back: for a client of botocore's."""

import io
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError

Fault = Callable[[Any], AWSResponse]
_EVENT = "before-send.s3"


class _Raw(io.BytesIO):
    def stream(self, **_: object) -> Generator[bytes]:
        yield self.read()


@contextmanager
def faults(api: Any, *wanted: Fault) -> Generator[list[Fault]]:
    """The next requests of `api` meet these, one each; gives those that are left."""
    left = list(wanted)

    def handle(request: Any, **_: object) -> AWSResponse | None:
        return left.pop(0)(request) if left else None

    api.meta.events.register(_EVENT, handle)
    try:
        yield left
    finally:
        api.meta.events.unregister(_EVENT, handle)


def refuse(code: str, status: int, message: str = "") -> Fault:
    """S3's refusal in the place of an answer."""
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    return lambda request: _answer(request, status, body, {"content-type": "application/xml"})


def cut_request(request: Any) -> AWSResponse:
    """The connection ends while it is sent."""
    raise ConnectionClosedError(endpoint_url=request.url)


def cut_answer(request: Any) -> AWSResponse:
    """The connection ends in the middle of the bytes."""
    return _answer(request, 206, b"on", {"content-length": "3"})


def _answer(request: Any, status: int, body: bytes, headers: dict[str, str]) -> AWSResponse:
    return AWSResponse(request.url, status, headers, _Raw(body))  # pyright: ignore[reportArgumentType]
