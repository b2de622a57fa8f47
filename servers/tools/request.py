"""The HTTP request of a call: each argument encoded for its place, so that it stays in it."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import cast
from urllib.parse import quote, unquote

import httpx2

from agentic.config.templates import Place, Template
from agentic.config.tools import Body, ToolConfig
from servers.tools.credentials import create_headers, iterate_query_credentials
from servers.tools.response_body import ACCEPTED_ENCODING
from servers.tools.results import ToolFailedError, to_json

_SAFE_IN_PATH = "/%:@!$&'()*+,;=~"
_SAFE_IN_QUERY = "/%:@!$&'()*+,;=~?"
_SAFE_IN_HEADER = "".join(map(chr, range(0x21, 0x7F))).replace("%", "")
_CONTENT_TYPES = {
    "params": "application/json",
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
}
_SEPARATORS = {",": ",", ";": ";", "|": "%7C", " ": "%20"}
"""As they stand in a URL."""
_ACCEPTED = "application/json, text/*;q=0.9, */*;q=0.5"


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """What is sent; each attempt of a call sends the same."""

    method: str
    url: httpx2.URL = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    content: bytes | None = field(repr=False)


class RequestBuilder:
    """Makes the requests of one declaration."""

    def __init__(self, config: ToolConfig) -> None:
        self._method = config.method
        self._places = config.places
        self._body: Body = config.body_kind
        self._body_parameter = config.body_parameter
        self._separators = {
            name: each.separator for name, each in config.parameters.items() if each.separator
        }
        self._url = httpx2.URL(config.url).copy_with(userinfo=b"", fragment=None)
        self._credentials = [
            f"{_encode(name)}={_encode(value)}" for name, value in iterate_query_credentials(config)
        ]
        templates = {name.lower(): each for name, each in self._places.headers.items()}
        self._header_templates = {name: each for name, each in templates.items() if each.names}
        self._headers = {
            "accept": "application/json" if self._body == "params" else _ACCEPTED,
            "user-agent": "agentic-ai",
            **create_headers(config),
            **{name: each.fill(str) for name, each in templates.items() if not each.names},
            "accept-encoding": ACCEPTED_ENCODING,
        }
        if (content_type := _CONTENT_TYPES.get(self._body)) is not None:
            self._headers.setdefault("content-type", content_type)
        self._sends_key = config.is_idempotent and config.method in ("POST", "PATCH")

    def build(self, arguments: Mapping[str, object], request_id: object) -> PreparedRequest:
        """The request with these arguments, which fit the parameters and have their defaults.

        Raises:
            ToolFailedError: An argument can't be sent in its place.
        """
        rest = {name: each for name, each in arguments.items() if name not in self._places.names}
        url = self._build_url(arguments, rest if self._body == "none" else {})
        headers = self._build_headers(arguments, request_id)
        if self._body_parameter is not None and not rest:
            typeless = {name: each for name, each in headers.items() if name != "content-type"}
            return PreparedRequest(self._method, url, typeless, b"")
        content = self._build_content(rest, request_id)
        return PreparedRequest(self._method, url, headers, content)

    def _build_url(self, arguments: Mapping[str, object], rest: Mapping[str, object]) -> httpx2.URL:
        path = _fill(self._places.path, arguments, self._to_segment, _SAFE_IN_PATH)
        _check_segments(path, self._places.path)
        pairs = [_fill(self._places.url_query, arguments, self._to_word, _SAFE_IN_QUERY)]
        for name, template in self._places.query.items():
            only = template.only_name
            if only is None:
                pairs.append(f"{_encode(name)}={_fill(template, arguments, self._to_word, None)}")
            else:
                pairs += self._pair(only, arguments.get(only), called=name)
        for name, value in rest.items():
            pairs += self._pair(name, value, called=name)
        query = "&".join(pair for pair in [*pairs, *self._credentials] if pair)
        target = f"{path or '/'}?{query}" if query else path or "/"
        return self._url.copy_with(raw_path=target.encode("ascii"))

    def _build_headers(
        self, arguments: Mapping[str, object], request_id: object
    ) -> Mapping[str, str]:
        if not (self._header_templates or self._sends_key) and self._body == "params":
            return self._headers
        headers = {} if self._body == "params" else {"x-request-id": str(request_id)}
        if self._sends_key:
            # in the envelope it may be of any letters, which a header does not take
            headers["idempotency-key"] = quote(str(request_id), safe=_SAFE_IN_HEADER)
        headers |= self._headers
        for header, template in self._header_templates.items():
            if (only := template.only_name) is not None and arguments.get(only) is None:
                headers.pop(header, None)
                continue
            text = template.fill(lambda name: self._to_header(name, arguments[name]))
            headers[header] = text.strip()
        return headers

    def _build_content(self, rest: Mapping[str, object], request_id: object) -> bytes | None:
        if self._body_parameter is not None:
            return _to_body(rest[self._body_parameter])
        match self._body:
            case "params":
                return _to_body({"params": rest, "request_id": request_id})
            case "json":
                return _to_body(rest)
            case "form":
                pairs = (self._pair(name, each, called=name) for name, each in rest.items())
                return "&".join(chain.from_iterable(pairs)).encode("ascii")
            case "none":
                return None if self._method == "GET" else b""

    def _pair(self, name: str, value: object, *, called: str) -> Iterator[str]:
        """`called=value` for a value, one for each item of a list, nothing for null."""
        values = [value]
        if isinstance(value, list) and name not in self._separators:
            values = cast("list[object]", value)
        for each in values:
            if each is not None:
                yield f"{_encode(called)}={self._to_word(name, each)}"

    def _to_word(self, name: str, value: object) -> str:
        try:
            return self._join(name, value, lambda each: _encode(_to_text(name, each)), _SEPARATORS)
        except UnicodeEncodeError:
            raise _unfit(name, "holds half a character") from None

    def _to_segment(self, name: str, value: object) -> str:
        text = self._join(name, value, partial(_to_text, name))
        if not text or not text.isprintable():
            raise _unfit(name, "becomes a part of a path, so it must be a text without controls")
        return self._to_word(name, value)

    def _to_header(self, name: str, value: object) -> str:
        text = self._join(name, value, partial(_to_text, name))
        if not all(" " <= each <= "~" or "\xa0" <= each <= "\xff" for each in text):
            raise _unfit(name, "is sent in a header, so it must be one line of Latin letters")
        return text

    def _join(
        self,
        name: str,
        value: object,
        to_text: Callable[[object], str],
        spelling: Mapping[str, str] | None = None,
    ) -> str:
        """A value in words: a list's items with the parameter's separator between them."""
        separator = self._separators.get(name)
        if separator is None or not isinstance(value, list):
            return to_text(value)
        joint = separator if spelling is None else spelling[separator]
        return joint.join(map(to_text, cast("list[object]", value)))


def _to_body(value: object) -> bytes:
    try:
        return to_json(value).encode("utf-8")
    except (ValueError, RecursionError):
        raise ToolFailedError(
            "invalid", "the arguments hold what JSON can't express, or nest too deeply"
        ) from None


def _fill(
    template: Template,
    arguments: Mapping[str, object],
    to_text: Callable[[str, object], str],
    safe: str | None,
) -> str:
    """The template with values encoded; what it holds itself is encoded but for `safe`."""
    parts: list[str] = []
    for part in template.parts:
        if isinstance(part, Place):
            parts.append(to_text(part.name, arguments[part.name]))
        else:
            parts.append(_encode(part) if safe is None else quote(part, safe=safe))
    return "".join(parts)


def _to_text(name: str, value: object) -> str:
    match value:
        case str():
            return value
        case float() if not math.isfinite(value):
            raise _unfit(name, "must be a finite number")
        case _:
            return to_json(value)


def _check_segments(path: str, template: Template) -> None:
    """Refuse a path in which values make a step up: it would lead to another endpoint."""
    if template.names and any(unquote(each) in (".", "..") for each in path.split("/")):
        raise _unfit(template.names[0], "becomes a part of a path and can't be . or ..")


def _unfit(name: str, why: str) -> ToolFailedError:
    return ToolFailedError("invalid", f"{name} {why}", field=name)


def _encode(text: str) -> str:
    return quote(text, safe="")
