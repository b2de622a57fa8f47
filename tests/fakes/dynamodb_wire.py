"""What goes to DynamoDB, and faults on its way: for a client of botocore's."""

import json
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ReadTimeoutError
from botocore.httpsession import URLLib3Session

_EVENT = "before-send.dynamodb"


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: object) -> Generator[bytes]:
        yield self._body


@dataclass
class Wire:
    """Requests by operation, in order; and what happens to the next ones."""

    operations: list[str] = field(default_factory=list[str])
    bodies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    faults: list[Callable[[Any], AWSResponse | None]] = field(
        default_factory=list[Callable[[Any], AWSResponse | None]]
    )
    """Each is used up by one request of `for_operation`, or by any."""
    for_operation: str | None = None

    @property
    def counts(self) -> Counter[str]:
        return Counter(self.operations)

    def forget(self) -> None:
        self.operations.clear()
        self.bodies.clear()

    def handle(self, request: Any, **_: object) -> AWSResponse | None:
        operation = str(request.headers["X-Amz-Target"]).rpartition(".")[2].removesuffix("'")
        self.operations.append(operation)
        self.bodies.append(json.loads(request.body))
        if self.faults and self.for_operation in (None, operation):
            return self.faults.pop(0)(request)
        return None


@contextmanager
def watch(api: Any) -> Generator[Wire]:
    """See what `api` sends in the context."""
    wire = Wire()
    api.meta.events.register(_EVENT, wire.handle)
    try:
        yield wire
    finally:
        api.meta.events.unregister(_EVENT, wire.handle)


def refuse(code: str, status: int = 400, message: str = "") -> Callable[[Any], AWSResponse]:
    """DynamoDB's refusal in the place of an answer."""

    def fault(request: Any) -> AWSResponse:
        told = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message}
        headers = {"x-amzn-errortype": code, "content-type": "application/x-amz-json-1.0"}
        return AWSResponse(request.url, status, headers, _Raw(json.dumps(told).encode()))  # pyright: ignore[reportArgumentType]

    return fault


def lose_answer(request: Any) -> AWSResponse:
    """It is done, but nobody hears of it."""
    URLLib3Session().send(request.prepare() if hasattr(request, "prepare") else request)
    raise ReadTimeoutError(endpoint_url=request.url)
