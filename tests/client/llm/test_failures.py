"""How providers fail: as which error, in which words, after how many attempts."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from client.llm.model_spec import Endpoint, parse_endpoint
from client.llm.protocol import (
    BadKeyError,
    BadRequestError,
    ContextTooLongError,
    ModelError,
    ModelEvent,
    ModelNotFoundError,
    ModelUnavailableError,
    RateLimitedError,
    RefusedError,
)
from tests.client.llm.vendors import (
    ANTHROPIC,
    OPENAI,
    WITH_KEY,
    Vendor,
    ask,
    complete,
    listen,
    to_text,
    user,
)
from tests.fakes.replies import Chunks, Cut, Fail, FailMidStream, Raw, Say

NOWHERE = "http://127.0.0.1:9"
AT_ONCE = {"Retry-After": "0"}


@pytest.mark.parametrize("vendor", WITH_KEY, ids=lambda vendor: vendor.provider)
@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (Fail(401, "authentication_error"), BadKeyError, "check THE_VARIABLE"),
        (Fail(401, "invalid_api_key"), BadKeyError, "check THE_VARIABLE"),
        (Fail(403, "permission_error"), BadKeyError, "may not do this"),
        (Fail(404, "not_found_error"), ModelNotFoundError, "knows no model"),
        (Fail(404, "model_not_found"), ModelNotFoundError, "check `model` and `base_url`"),
        (Fail(400, "invalid_request_error", "tools.0: broken"), BadRequestError, "tools.0: broken"),
        (Fail(422, "x", "tools.0: broken"), BadRequestError, "tools.0: broken"),
        (Fail(402, "billing_error"), RateLimitedError, "no credit"),
        (Fail(429, "insufficient_quota"), RateLimitedError, "no credit"),
        (Fail(400, "x", "Your credit balance is too low"), RateLimitedError, "no credit"),
        (Fail(429, "rate_limit_error"), RateLimitedError, "too many requests"),
        (Fail(413, "request_too_large"), ContextTooLongError, "longer than"),
        (
            Fail(400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000"),
            ContextTooLongError,
            "longer than",
        ),
        (Fail(400, "context_length_exceeded"), ContextTooLongError, "longer than"),
        (
            Fail(400, "x", "the request exceeds the available context size"),
            ContextTooLongError,
            "longer than",
        ),
        (Fail(400, "content_filter"), RefusedError, "declined"),
        (Fail(500, "api_error", headers=AT_ONCE), ModelUnavailableError, "HTTP 500"),
        (Fail(529, "overloaded_error", headers=AT_ONCE), ModelUnavailableError, "HTTP 529"),
        (Fail(503, "odd", headers=AT_ONCE), ModelUnavailableError, "HTTP 503"),
    ],
)
async def test_each_failure_is_named_for_its_reader(
    vendor: Vendor, reply: Fail, kind: type[ModelError], words: str
) -> None:
    async with vendor.open_server(reply, reply, reply) as server:
        with pytest.raises(kind, match=words) as caught:
            await listen(vendor.connect(server.base_url))
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "37"}, 37.0),
        ({"retry-after-ms": "45500", "Retry-After": "46"}, 45.5),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
async def test_a_rate_limit_tells_its_waiting_time_at_once(
    vendor: Vendor, headers: dict[str, str], seconds: float | None
) -> None:
    async with vendor.open_server(Fail(429, "rate_limit_error", headers=headers)) as server:
        with pytest.raises(RateLimitedError) as caught:
            await listen(vendor.connect(server.base_url))
        assert len(server.requests) == 1
    assert caught.value.retry_after_seconds == seconds
    if seconds:
        assert f"in {round(seconds + 0.4)} seconds" in str(caught.value)


async def test_a_waiting_time_may_be_a_date(vendor: Vendor) -> None:
    moment = datetime.now(UTC) + timedelta(hours=1)
    headers = {"Retry-After": format_datetime(moment, usegmt=True)}
    async with vendor.open_server(Fail(429, "rate_limit_error", headers=headers)) as server:
        with pytest.raises(RateLimitedError) as caught:
            await listen(vendor.connect(server.base_url))
    assert caught.value.retry_after_seconds == pytest.approx(3_600, abs=30)


async def test_passing_trouble_before_the_answer_is_tried_over(vendor: Vendor) -> None:
    replies = [
        Fail(529, "overloaded_error", headers=AT_ONCE),
        Fail(429, "rate_limit_error", headers=AT_ONCE),
        Say("Here I am"),
    ]
    async with vendor.open_server(*replies) as server:
        assert (await complete(vendor.connect(server.base_url))).text == "Here I am"
        assert len(server.requests) == 3


async def test_after_three_attempts_the_trouble_is_told(vendor: Vendor) -> None:
    trouble = Fail(500, "api_error", headers=AT_ONCE)
    async with vendor.open_server(trouble, trouble, trouble, Say("never")) as server:
        with pytest.raises(ModelUnavailableError):
            await listen(vendor.connect(server.base_url))
        assert len(server.requests) == 3


async def test_a_provider_that_wants_a_long_pause_is_not_tried_over(vendor: Vendor) -> None:
    trouble = Fail(503, "api_error", headers={"Retry-After": "3600"})
    async with vendor.open_server(trouble, Say("never")) as server:
        with pytest.raises(ModelUnavailableError) as caught:
            await listen(vendor.connect(server.base_url))
        assert len(server.requests) == 1
    assert caught.value.retry_after_seconds == 3_600
    assert "Try again in 60 minutes" in str(caught.value)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("overloaded_error", ModelUnavailableError),
        ("rate_limit_error", RateLimitedError),
        ("context_length_exceeded", ContextTooLongError),
        ("unheard_of", ModelUnavailableError),
    ],
)
async def test_an_error_inside_the_stream_ends_it_without_another_attempt(
    vendor: Vendor, code: str, kind: type[ModelError]
) -> None:
    heard: list[ModelEvent] = []
    message = "prompt is too long" if kind is ContextTooLongError else "something is wrong"
    failure = FailMidStream("Once upon", code, message)
    async with vendor.open_server(failure, Say("never")) as server:
        with pytest.raises(kind) as caught:
            await listen(vendor.connect(server.base_url), heard=heard)
        assert len(server.requests) == 1
    assert to_text(heard) == "Once upon"
    assert type(caught.value) is kind


async def test_a_status_inside_the_stream_counts_as_one() -> None:
    error = {"error": {"code": 429, "message": "slow down"}}
    async with OPENAI.open_server(Chunks([error])) as server:
        with pytest.raises(RateLimitedError):
            await listen(OPENAI.connect(server.base_url))


async def test_a_cut_in_the_middle_of_an_answer_is_told_after_what_was_heard(
    vendor: Vendor,
) -> None:
    heard: list[ModelEvent] = []
    async with vendor.open_server(Cut("Once upon a time"), Say("never")) as server:
        with pytest.raises(ModelUnavailableError, match="broke off"):
            await listen(vendor.connect(server.base_url), heard=heard)
        assert len(server.requests) == 1
    assert to_text(heard) == "Once upon a time"


HTML = b"<html><body>\n\n<h1>Log in to the hotel's WiFi</h1>\n\n</body></html>"


@pytest.mark.parametrize(
    "reply",
    [
        Raw(b""),
        Raw(HTML, content_type="text/html"),
        Raw(HTML),
        Raw(b"\x00\xff\xfe" * 50),
        Raw(b"data: {not json\n\n"),
        Raw(b"data: \xff\xff\n\n"),
        Raw(b"data: [1, 2]\n\n"),
        Raw(b"data: null\n\n"),
        Raw(b"event: message_start\ndata: 5\n\n"),
        Raw(b'event: x\ndata: {"type": 5, "choices": "none"}\n\n'),
        Raw(b"event: x\ndata: " + b"[" * 100_000 + b"\n\n"),
        Raw(b"event: ping\ndata: {}\n\n"),
        Raw(b"retry: 3\n\n"),
        Raw(b": only a comment\n\n"),
        Raw(b'{"id": "x", "choices": []}', content_type="application/json"),
        Raw(b"data: [DONE]\n\n"),
    ],
    ids=str,
)
async def test_garbage_and_nothing_are_no_answer(vendor: Vendor, reply: Raw) -> None:
    async with vendor.open_server(reply) as server:
        with pytest.raises(ModelUnavailableError, match=r"no model's answer|broke off"):
            await listen(vendor.connect(server.base_url))


async def test_an_html_error_page_is_told_by_its_status(vendor: Vendor) -> None:
    page = Raw(HTML, 502, "text/html", AT_ONCE)
    async with vendor.open_server(page, page, page) as server:
        with pytest.raises(ModelUnavailableError, match="HTTP 502") as caught:
            await listen(vendor.connect(server.base_url))
    assert "html" not in str(caught.value)


async def test_a_redirect_is_not_followed_with_the_key(vendor: Vendor) -> None:
    async with vendor.open_server(Say("never")) as other:
        redirect = Raw(b"", 307, headers={"Location": f"{other.base_url}/elsewhere", **AT_ONCE})
        async with vendor.open_server(redirect, redirect, redirect) as server:
            url = server.base_url.replace("://", "://ada:swordfish@")
            endpoint = parse_endpoint(url, key=vendor.key)
            with pytest.raises(ModelUnavailableError) as caught:
                await listen(vendor.connect(server.base_url, endpoint=endpoint))
        assert other.http_requests == []
    assert str(caught.value) == (
        f"The model server at {server.base_url} redirects to another address (HTTP 307): "
        "check that this is its address (`base_url`)."
    )


@pytest.mark.slow
@pytest.mark.parametrize("is_there", [True, False])
async def test_a_public_service_behind_a_broken_proxy_is_not_said_to_be_down(
    vendor: Vendor, is_there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoints = {
        "anthropic": Endpoint("https://api.anthropic.com"),
        "openai": Endpoint("https://api.openai.com/v1"),
        "bedrock": Endpoint(""),
    }
    page = Raw(HTML, 407, "text/html")
    async with vendor.open_server(page) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.base_url if is_there else NOWHERE)
        with pytest.raises(ModelUnavailableError) as caught:
            await listen(vendor.connect(NOWHERE, endpoint=endpoints[vendor.provider]))
    assert str(caught.value) == (
        f"{vendor.title} can't be reached: check the network, and the proxy if there is one."
    )


async def test_a_server_that_is_not_there_is_told_with_its_address(vendor: Vendor) -> None:
    async with vendor.open_server() as server:
        base_url = server.base_url
    with pytest.raises(ModelUnavailableError, match=r"127\.0\.0\.1:\d+\S* can't be reached"):
        await listen(vendor.connect(base_url))


async def test_a_vendor_that_keeps_nothing_but_its_name_is_still_understood() -> None:
    body = Raw(b'{"error": "the model is loading"}', 400, "application/json")
    async with OPENAI.open_server(body) as server:
        with pytest.raises(BadRequestError, match="the model is loading"):
            await listen(OPENAI.connect(server.base_url))
    async with ANTHROPIC.open_server(body) as server:
        with pytest.raises(BadRequestError, match="the model is loading"):
            await listen(ANTHROPIC.connect(server.base_url))


async def test_a_broken_history_is_refused_before_anything_is_sent(vendor: Vendor) -> None:
    call: dict[str, object] = {"type": "tool_use", "id": "call_one", "name": "t", "input": {}}
    dangling = user("Hi").model_copy(update={"role": "assistant", "content": [call]})
    async with vendor.open_server(Say("never")) as server:
        with pytest.raises(BadRequestError, match="'call_one' has no result"):
            await listen(vendor.connect(server.base_url), ask(user("Hi"), dangling, user("Hm?")))
        assert server.http_requests == []
