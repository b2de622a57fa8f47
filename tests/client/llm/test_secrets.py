"""Keys, passwords and what people asked stay out of errors, logs and representations."""

import logging
import traceback
from collections.abc import Sequence

import pytest

from client.llm.model_spec import parse_endpoint
from client.llm.protocol import BadKeyError, BadRequestError, ModelError
from tests.client.llm.vendors import OPENAI, Vendor, ask, complete, listen, user
from tests.fakes.replies import Cut, Fail, FailMidStream, FakeReply, Raw, Say

QUESTION = "Where did I hide the emeralds of 1923?"


def fails(kind: str, key: str) -> Sequence[FakeReply]:
    echo = f"key {key} asked: {QUESTION}"
    again = {"Retry-After": "0"}
    replies: dict[str, Sequence[FakeReply]] = {
        "key": [Fail(401, "authentication_error", echo)],
        "request": [Fail(400, "invalid_request_error", echo)],
        "key alone": [Fail(400, "invalid_request_error", f"bad key {key}")],
        "part": [Fail(400, "invalid_request_error", "can't say: the emeralds of 1923")],
        "code": [Fail(400, "unheard_of", f"{echo} and more")],
        "server": [Fail(500, "api_error", echo, again)] * 3,
        "stream": [FailMidStream("Well", "api_error", echo)],
        "page": [Raw(f"<p>{echo}</p>".encode(), 400, "text/html")],
        "text": [Raw(echo.encode(), 400, "text/plain")],
        "garbage": [Raw(f"data: {echo}\n\n".encode())],
        "cut": [Cut(QUESTION)],
    }
    return replies[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "key",
        "request",
        "key alone",
        "part",
        "code",
        "server",
        "stream",
        "page",
        "text",
        "garbage",
        "cut",
    ],
)
async def test_errors_repeat_neither_key_nor_question(
    vendor: Vendor, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with vendor.open_server(*fails(kind, vendor.key)) as server:
        model = vendor.connect(server.base_url)
        with pytest.raises(ModelError) as caught:
            await listen(model, ask(user(QUESTION)))
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    for secret in (vendor.key, QUESTION, "emeralds"):
        assert secret not in shown
    assert vendor.key not in caplog.text


async def test_a_rejected_request_tells_the_developer_why(vendor: Vendor) -> None:
    why = Fail(400, "invalid_request_error", "tools.3.input_schema: JSON schema is invalid")
    async with vendor.open_server(why) as server:
        with pytest.raises(
            BadRequestError, match=r"tools\.3\.input_schema: JSON schema is invalid"
        ):
            await listen(vendor.connect(server.base_url), ask(user(QUESTION)))


async def test_the_key_is_in_no_log_even_at_debug(
    vendor: Vendor, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("", "anthropic", "openai", "httpx2", "httpcore2"):
        caplog.set_level(logging.DEBUG, logger=name or None)
    async with vendor.open_server(Say("Hi")) as server:
        await complete(vendor.connect(server.base_url))
    assert {"httpcore2.connection"} <= {record.name for record in caplog.records}
    assert vendor.key not in caplog.text
    assert all(vendor.key not in repr(record.__dict__) for record in caplog.records)


async def test_a_password_in_the_address_is_sent_but_never_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with OPENAI.open_server(key="x") as server:
        url = server.base_url.replace("://", "://ada:swordfish%21@")
        model = OPENAI.connect(url, endpoint=parse_endpoint(url))
        with pytest.raises(BadKeyError) as caught:
            await listen(model)
        (request,) = server.http_requests
    assert request.headers["authorization"] == "Basic YWRhOnN3b3JkZmlzaCE="
    assert "swordfish" not in f"{caught.value}{caplog.text}"
    assert "ada" not in str(caught.value)


def test_representations_hold_no_secret(vendor: Vendor) -> None:
    endpoint = parse_endpoint("https://ada:swordfish@example.com/v1", key=vendor.key)
    assert endpoint.base_url == "https://example.com/v1"
    in_query = parse_endpoint("https://example.com/v1?key=swordfish")
    assert in_query.title == "The model server at https://example.com/v1"
    for secret in (vendor.key, "swordfish", "YWRhOnN3b3JkZmlzaA=="):
        assert secret not in repr(endpoint)


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://x", "http://", "http://a:port", "//x"]
)
def test_what_is_no_address_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ValueError, match="http://localhost:8000/v1"):
        parse_endpoint(url)
