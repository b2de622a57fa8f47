"""An endpoint's HTTP answer as the `result` it holds, or as a failure in words for the caller."""

import json
import math
from collections import deque
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NoReturn, cast

import anyio.to_thread
import httpx2

from agentic.config.tools import ToolConfig
from servers.tools.charsets import decode
from servers.tools.credentials import iterate_credentials, iterate_private_values
from servers.tools.free_answer import find_media, parse_freely, parse_json
from servers.tools.response_body import describe_limit, read_body
from servers.tools.result import ResultReader
from servers.tools.results import ToolFailedError
from servers.tools.untrusted_text import Cleaner, UnfitError

_MAX_ERROR_BYTES = 65_536
_MAX_BYTES_AT_ONCE = 65_536
"""What is larger is taken apart in a thread: other calls go on meanwhile."""
_MAX_RETRY_AFTER_DIGITS = 7
_PASSING = (408, 425, 429, 500, 502, 503, 504)
"""After them another attempt may succeed."""
_TOKENS = 4
"""So many of the latest access tokens are looked for: calls that are under way have older ones."""
_EXPECTED = 'expected {"result": …} or {"error": …}'


class AnswerReader:
    """Reads the answers of one endpoint; what it quotes of them holds no secret."""

    def __init__(self, config: ToolConfig) -> None:
        self._max_bytes = config.max_response_bytes
        self._has_envelope = config.body_kind == "params"
        self._result = ResultReader(config)
        self._private_values = frozenset(iterate_private_values(config))
        self._credential_values = frozenset(iterate_credentials(config))
        self._tokens: deque[str] = deque(maxlen=_TOKENS)
        self._hide_tokens()

    def _hide_tokens(self) -> None:
        self._private = Cleaner(self._private_values.union(self._tokens))
        self._credentials = Cleaner(self._credential_values.union(self._tokens))

    async def read(self, response: httpx2.Response, token: str = "") -> object:
        """The result of the answer, its texts made safe. `token` is what was sent besides.

        Raises:
            ToolFailedError: There is none.
            httpx2.TransportError: The connection broke.
        """
        if token and token not in self._tokens:
            self._tokens.append(token)
            self._hide_tokens()
        if httpx2.codes.is_error(response.status_code):
            self._raise_status(response, await read_body(response, _MAX_ERROR_BYTES))
        if not httpx2.codes.is_success(response.status_code):
            self._raise_redirect(response)
        body = await read_body(response, self._max_bytes)
        if len(body) > self._max_bytes:
            raise ToolFailedError("too_large", describe_limit(self._max_bytes))
        if not self._has_envelope and (media := find_media(response.headers, body)) is not None:
            self._result.check_media(media.mime_type)
            return replace(media, data=self._credentials.clean_bytes(media.data))
        if len(body) <= _MAX_BYTES_AT_ONCE:
            return self._parse(response.headers, body)
        return await anyio.to_thread.run_sync(self._parse, response.headers, body)

    def _raise_redirect(self, response: httpx2.Response) -> NoReturn:
        location = response.headers.get("location", "").partition("?")[0]
        where = f" to {self._private.excerpt(location)}" if location else ""
        raise ToolFailedError(
            "failed",
            f"the endpoint answered HTTP {response.status_code}, a redirect{where}; redirects are "
            "not followed: give the final address as url",
        )

    def _raise_status(self, response: httpx2.Response, body: bytes) -> NoReturn:
        message = f"the endpoint answered HTTP {response.status_code}"
        if said := self._quote(response.headers, body):
            message = f"{message}: {said}"
        if response.status_code in (httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN):
            message = f"{message} (check the tool's credential in mcp.yml)"
        wait = parse_retry_after(response.headers.get("retry-after", ""))
        raise ToolFailedError(
            "failed",
            message,
            retry_after_seconds=wait,
            may_pass=response.status_code in _PASSING,
        )

    def _parse(self, headers: httpx2.Headers, body: bytes) -> object:
        answer = (
            self._open_envelope(headers, body)
            if self._has_envelope
            else parse_freely(headers, body)
        )
        selected = self._result.select(answer)
        try:
            result = self._credentials.clean_json(selected)
        except UnfitError as error:
            raise ToolFailedError(
                "failed", f"the endpoint's result can't be passed on: {error}"
            ) from None
        self._result.check(result)
        return result

    def _open_envelope(self, headers: httpx2.Headers, body: bytes) -> object:
        try:
            answer = parse_json(headers, body)
        except (ValueError, RecursionError):
            said = self._quote_text(headers, body) or "nothing"
            raise ToolFailedError(
                "failed", f"the endpoint's answer is not JSON but {said}; {_EXPECTED}"
            ) from None
        fields = cast("dict[str, object]", answer) if isinstance(answer, dict) else {}
        if fields.get("error") is not None:
            said = self._quote_error(fields["error"])
            raise ToolFailedError("failed", f"the endpoint reports an error: {said}")
        if "result" not in fields:
            raise ToolFailedError("failed", f"the endpoint's answer has no result; {_EXPECTED}")
        return fields["result"]

    def _quote(self, headers: httpx2.Headers, body: bytes) -> str:
        """What an error's body says, in short."""
        try:
            answer: object = json.loads(body)
        except (ValueError, RecursionError):
            return self._quote_text(headers, body)
        if isinstance(answer, dict):
            fields = cast("dict[str, object]", answer)
            answer = fields.get("error", fields)
        return self._quote_error(answer)

    def _quote_error(self, error: object) -> str:
        """The text of an `error`: itself, its `message`, or all of it."""
        if isinstance(error, dict):
            fields = cast("dict[str, object]", error)
            error = fields.get("message", fields)
        try:
            text = error if isinstance(error, str) else json.dumps(error, ensure_ascii=False)
        except RecursionError:
            return ""
        return self._private.excerpt(text)

    def _quote_text(self, headers: httpx2.Headers, body: bytes) -> str:
        content_type = headers.get("content-type", "").lower()
        text = decode(body, content_type)
        if "html" in content_type or text.lstrip().startswith("<"):
            return "an HTML page"
        return self._private.excerpt(text)


def parse_retry_after(value: str) -> float | None:
    """Seconds to wait by a `Retry-After` header (seconds or a date), None without a usable one."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value) if len(value) <= _MAX_RETRY_AFTER_DIGITS else None
    try:
        moment = parsedate_to_datetime(value)
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, OverflowError):
        return None
    return float(max(0, math.ceil(seconds)))
