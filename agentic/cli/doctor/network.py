"""Asks addresses cheap questions, and notes what the clocks there say."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import anyio
from anyio import to_thread

from client.llm.http_client import create_http_client
from client.llm.model_spec import Endpoint

ANSWER_SECONDS = 4.0
_MAX_BYTES = 4 * 1024 * 1024


class NoAnswerError(Exception):
    """No answer came. The text says why, without the address, which may hold a token."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and what the body says; None: it is no JSON."""

    status: int
    value: object


@dataclass(frozen=True, slots=True)
class Network:
    """`offsets`: host → seconds by which its clock is ahead of ours."""

    offsets: dict[str, float] = field(default_factory=dict[str, float])

    async def get(self, endpoint: Endpoint, path: str, headers: Mapping[str, str]) -> Answer:
        """Ask once; no redirect is followed.

        Raises:
            NoAnswerError: No answer, or too large a one.
        """
        client = await to_thread.run_sync(create_http_client, endpoint, ANSWER_SECONDS)
        from httpx2 import ConnectError, ConnectTimeout, HTTPError, InvalidURL

        body = bytearray()
        try:
            with anyio.fail_after(ANSWER_SECONDS):
                async with client, client.stream("GET", path, headers=dict(headers)) as response:
                    self._note_time(endpoint, response.headers.get("date", ""))
                    async for chunk in response.aiter_bytes():
                        body += chunk
                        if len(body) > _MAX_BYTES:
                            raise NoAnswerError("answers without end")
        except TimeoutError:
            raise NoAnswerError(f"gave no answer within {ANSWER_SECONDS:g} s") from None
        except (ConnectError, ConnectTimeout):
            raise NoAnswerError("can't be reached") from None
        except (HTTPError, InvalidURL) as error:
            raise NoAnswerError(f"gives no whole answer ({type(error).__name__})") from None
        return Answer(response.status_code, _parse(bytes(body)))

    def _note_time(self, endpoint: Endpoint, date: str) -> None:
        try:
            moment = parsedate_to_datetime(date)
        except ValueError:
            return
        if moment.tzinfo is not None:
            host = urlsplit(endpoint.base_url).hostname or ""
            self.offsets[host] = (moment - datetime.now(UTC)).total_seconds()


def _parse(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
