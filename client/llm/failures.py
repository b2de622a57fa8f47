"""How a provider's failures become our errors, in words for the one who can act on them."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import cast

from client.llm.model_spec import ModelSpec
from client.llm.protocol import (
    BadKeyError,
    BadRequestError,
    ContextTooLongError,
    ModelError,
    ModelNotFoundError,
    ModelRequest,
    ModelUnavailableError,
    RateLimitedError,
    RefusedError,
)

_TOO_LONG = re.compile(
    r"prompt is too long|context.{0,20}(length|window|size|limit)|too many (input )?tokens"
    r"|input is too long|reduce the length|exceed_context_size",
    re.IGNORECASE,
)
_NO_CREDIT = re.compile(r"credit balance|insufficient.{0,10}(quota|balance|credit)", re.IGNORECASE)
_BY_CODE: Mapping[str, type[ModelError]] = {
    "authentication_error": BadKeyError,
    "permission_error": BadKeyError,
    "invalid_api_key": BadKeyError,
    "rate_limit_error": RateLimitedError,
    "rate_limit_exceeded": RateLimitedError,
    "insufficient_quota": RateLimitedError,
    "billing_error": RateLimitedError,
    "context_length_exceeded": ContextTooLongError,
    "exceed_context_size_error": ContextTooLongError,
    "request_too_large": ContextTooLongError,
    "content_filter": RefusedError,
    "content_policy_violation": RefusedError,
    "not_found_error": ModelNotFoundError,
    "model_not_found": ModelNotFoundError,
    "overloaded_error": ModelUnavailableError,
    "api_error": ModelUnavailableError,
    "timeout_error": ModelUnavailableError,
    "server_error": ModelUnavailableError,
    "ThrottlingException": RateLimitedError,
    "ServiceQuotaExceededException": RateLimitedError,
    "ModelNotReadyException": ModelUnavailableError,
    "ModelErrorException": ModelUnavailableError,
}
_BY_STATUS: Mapping[int, type[ModelError]] = {
    401: BadKeyError,
    402: RateLimitedError,
    403: BadKeyError,
    404: ModelNotFoundError,
    408: ModelUnavailableError,
    409: ModelUnavailableError,
    413: ContextTooLongError,
    429: RateLimitedError,
}
_MAX_DETAIL_CHARACTERS = 300
_MAX_CODE_CHARACTERS = 60
_QUOTED_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class Failure:
    """What a provider said when it failed, as far as it said anything."""

    status: int | None = None
    codes: tuple[str, ...] = ()
    message: str = ""
    retry_after_seconds: float | None = None

    @property
    def is_redirect(self) -> bool:
        """It names another address, which is never asked: the key and the question stay here."""
        return self.status is not None and 300 <= self.status < 400


@dataclass(frozen=True, slots=True)
class Service:
    """Who is asked, as errors name it.

    `key_advice` says what to do about the key. `is_public`: it is a vendor's own service, which
    runs, and whose address nobody need have written down.
    """

    title: str
    model: str
    key_advice: str
    is_public: bool = False
    secret: str = field(default="", repr=False)

    @classmethod
    def of(cls, spec: ModelSpec) -> "Service":
        """The service that `spec` names."""
        endpoint = spec.endpoint
        is_public = endpoint.is_vendors_own
        return cls(endpoint.title, spec.model, endpoint.key_advice, is_public, endpoint.key)

    def explain(self, failure: Failure, request: ModelRequest) -> ModelError:
        """The error of ours for `failure`. Its text holds neither the key nor what was asked."""
        kind = _classify(failure)
        return kind(
            self._describe(kind, failure, request), retry_after_seconds=failure.retry_after_seconds
        )

    def unreachable(self) -> ModelUnavailableError:
        """For a connection that can't be made."""
        own = "check that it is running and that this is its address (`base_url`)"
        public = "check the network, and the proxy if there is one"
        return ModelUnavailableError(
            f"{self.title} can't be reached: {public if self.is_public else own}."
        )

    def silent(self, seconds: float) -> ModelUnavailableError:
        """For a model from which nothing came for too long."""
        return ModelUnavailableError(
            f"{self.title} said nothing for {seconds:g} seconds. Try again, "
            "or give the model more time (its `timeout` in mcp.yml)."
        )

    def broken_off(self) -> ModelUnavailableError:
        """For an answer that ends before its end, or is none at all."""
        return ModelUnavailableError(
            f"{self.title} broke off before its answer was complete. Try again."
        )

    def garbled(self) -> ModelUnavailableError:
        """For an answer in no known shape."""
        return ModelUnavailableError(
            f"{self.title} answered with something that is no model's answer: {self._way()}."
        )

    def _way(self) -> str:
        """What to check when it is somebody else who answers."""
        own = "check that this is its address (`base_url`)"
        public = "check whether a proxy or a login page answers, and `base_url` if it is set"
        return public if self.is_public else own

    def _describe(self, kind: type[ModelError], failure: Failure, request: ModelRequest) -> str:
        title, status = self.title, f" (HTTP {failure.status})" if failure.status else ""
        if kind is BadKeyError:
            return f"{title} says the key is wrong or may not do this{status}: {self.key_advice}."
        if kind is RateLimitedError:
            return _describe_limit(title, failure)
        if kind is ContextTooLongError:
            return (
                f"The conversation is longer than {self.model} can read at once, says {title}. "
                "Begin a new one, or name a model with a larger window."
            )
        if kind is RefusedError:
            return f"{title} declined to answer this."
        if kind is ModelNotFoundError:
            return (
                f"{title} knows no model {self.model!r}, or the key may not use it{status}: "
                "check `model` and `base_url`."
            )
        if failure.is_redirect:
            return f"{title} redirects to another address{status}: {self._way()}."
        if kind is ModelUnavailableError:
            return f"{title} is down or overloaded{status}. Try again {_describe_wait(failure)}."
        return f"{title} rejects the request{status}{self.quote(failure, request)}"

    def quote(self, failure: Failure, request: ModelRequest) -> str:
        """The provider's own words, unless they repeat what was asked."""
        words = " ".join(failure.message[:_MAX_DETAIL_CHARACTERS].split())
        if self.secret:
            words = words.replace(self.secret, "[key]")
        if not words or _repeats(words, request):
            codes = ", ".join(failure.codes)
            return f": {codes}." if codes else "."
        return f": {words}"


def parse_failure(status: int | None, body: object, headers: Mapping[str, str]) -> Failure:
    """What a vendor's error says: an object, that object under `error`, or mere text."""
    if isinstance(body, Mapping):
        body = cast("Mapping[str, object]", body).get("error", cast("object", body))
    if not isinstance(body, Mapping):
        message = body if isinstance(body, str) and not body.lstrip().startswith("<") else ""
        return Failure(status, (), message, parse_retry_after(headers))
    fields = cast("Mapping[str, object]", body)
    codes = [str(fields[name]) for name in ("code", "type") if fields.get(name)]
    if status is None:
        # Inside a stream the status can only stand in the code.
        status = next((int(code) for code in codes if re.fullmatch(r"[3-5]\d\d", code)), None)
    message = fields.get("message")
    return Failure(
        status,
        tuple(code[:_MAX_CODE_CHARACTERS] for code in codes),
        message if isinstance(message, str) else "",
        parse_retry_after(headers),
    )


def explain_connection(service: Service, error: Exception, timeout_seconds: float) -> ModelError:
    """For what went wrong below the vendor's own errors, or is the cause of one of them."""
    from httpx2 import ConnectError, ConnectTimeout, HTTPError, ProxyError, TimeoutException

    cause = error if isinstance(error, HTTPError) else error.__cause__
    if isinstance(cause, (ConnectError, ConnectTimeout, ProxyError)):
        return service.unreachable()
    if isinstance(cause, TimeoutException):
        return service.silent(timeout_seconds)
    if isinstance(cause, HTTPError):
        return service.broken_off()
    return service.garbled()


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait as a provider's headers say it: milliseconds, seconds, or a date."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        return seconds if math.isfinite(seconds) and seconds >= 0 else None
    try:
        moment = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _classify(failure: Failure) -> type[ModelError]:
    known = next((_BY_CODE[code] for code in failure.codes if code in _BY_CODE), None)
    if known:
        return known
    status = failure.status
    if status is None or status < 500:
        if _TOO_LONG.search(failure.message):
            return ContextTooLongError
        if _NO_CREDIT.search(failure.message):
            return RateLimitedError
    if status is None or not 400 <= status < 500:
        return ModelUnavailableError
    return _BY_STATUS.get(status, BadRequestError)


def _describe_limit(title: str, failure: Failure) -> str:
    if (
        failure.status == 402
        or {"insufficient_quota", "billing_error"} & {*failure.codes}
        or _NO_CREDIT.search(failure.message)
    ):
        return f"{title} says there is no credit left: top it up or use another model."
    return f"{title} is getting too many requests. Try again {_describe_wait(failure)}."


def _describe_wait(failure: Failure) -> str:
    wait = failure.retry_after_seconds
    if not wait:
        return "in a moment"
    return f"in {math.ceil(wait)} seconds" if wait < 120 else f"in {math.ceil(wait / 60)} minutes"


def _repeats(words: str, request: ModelRequest) -> bool:
    texts = [request.instructions, *(str(message.content) for message in request.messages)]
    size = min(_QUOTED_CHARACTERS, len(words))
    runs = {words[start : start + size] for start in range(len(words) - size + 1)}
    return any(run in text for text in texts for run in runs) or any(
        text in words for text in texts if len(text) > 3
    )
