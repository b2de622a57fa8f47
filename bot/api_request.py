"""PTB's HTTP client, with what became of a request told apart: not sent, flooded, token refused."""

import json
import logging
import warnings
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
from telegram.error import BadRequest, NetworkError, RetryAfter
from telegram.request import HTTPXRequest
from telegram.warnings import PTBDeprecationWarning

_TOKEN_REFUSED = frozenset({401, 404})
"""401: unknown token; 404: not even shaped like one (PTB asks for no method that doesn't exist)."""
_OK = 200
_TOO_LARGE = 413
_TOO_MANY_REQUESTS = 429
_DEFAULT_PAUSE_SECONDS = 5.0

_logger = logging.getLogger(__name__)


class NotSentError(NetworkError):
    """No connection came about: Telegram never saw the request, so repeating it is safe."""


class FloodedError(RetryAfter):
    """Telegram wants a pause of `seconds`; it did not do what was asked."""

    def __init__(self, seconds: float) -> None:
        with warnings.catch_warnings():
            # PTB warns about its own attribute's coming type whenever it makes this error.
            warnings.simplefilter("ignore", PTBDeprecationWarning)
            super().__init__(timedelta(seconds=seconds))
        self.seconds = seconds


class BotApiRequest(HTTPXRequest):
    """Sends requests to the Bot API; tells `on_token_refused` when the token is refused.

    PTB's polling ends in silence then, so somebody else has to know. `health_file` is written when
    an answer is good, with what `describe` gives.
    """

    def __init__(
        self,
        on_token_refused: Callable[[], Awaitable[None]],
        *,
        on_answer: Callable[[], None] = lambda: None,
        health_file: Path | None,
        describe: Callable[[], Awaitable[str]],
        **settings: Any,  # noqa: ANN401 - httpx's
    ) -> None:
        super().__init__(**settings)
        self._on_token_refused = on_token_refused
        self._on_answer = on_answer
        self._health_file = health_file
        self._describe = describe

    async def do_request(self, *args: Any, **kwargs: Any) -> tuple[int, bytes]:  # noqa: ANN401 - as PTB's
        """As PTB's, with errors of finer kinds."""
        try:
            status, body = await super().do_request(*args, **kwargs)
        except NetworkError as error:
            if isinstance(
                error.__cause__, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout
            ):
                raise NotSentError(f"no connection to Telegram: {error.message}") from None
            raise
        self._on_answer()
        if status == _OK and self._health_file is not None:
            await self._note_health(self._health_file)
        if status in _TOKEN_REFUSED:
            await self._on_token_refused()
        if status == _TOO_LARGE:
            raise BadRequest("Request Entity Too Large")  # PTB takes it for trouble that passes
        if status == _TOO_MANY_REQUESTS:
            raise FloodedError(_pause_seconds(body))
        return status, body

    async def _note_health(self, file: Path) -> None:
        try:
            await anyio.Path(file).write_text(f"{await self._describe()}\n")
        except OSError as error:
            _logger.warning("bot.health_file: %s can't be written: %s", file, error.strerror)


def _pause_seconds(body: bytes) -> float:
    try:
        seconds = float(json.loads(body)["parameters"]["retry_after"])
    except (ValueError, KeyError, TypeError):
        return _DEFAULT_PAUSE_SECONDS
    return max(0.0, seconds)
