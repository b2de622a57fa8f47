"""What is Bedrock's own: frames, credentials, regions, cache points, and its words for failures."""

import base64
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from client.llm.bedrock import Bedrock
from client.llm.bedrock_messages import to_converse_parameters
from client.llm.model_spec import Endpoint
from client.llm.protocol import (
    BadKeyError,
    BadRequestError,
    ContextTooLongError,
    LanguageModel,
    ModelError,
    ModelNotFoundError,
    ModelUnavailableError,
    RateLimitedError,
    ToolCall,
    ToolDefinition,
)
from servers.conversations.contract import Message
from tests.client.llm.vendors import BEDROCK, ask, complete, listen, to_text, user
from tests.fakes.aws_signature import REGION, SECRET_KEY, SESSION_TOKEN
from tests.fakes.bedrock_server import SIGNATURE, encode_frame, named, open_bedrock_server
from tests.fakes.replies import Chunks, Fail, FailMidStream, Raw, Say
from tests.fakes.streaming_http import HttpReply, HttpRequest, open_http_server

AT_ONCE = {"Retry-After": "0"}
EVENT = {":message-type": "event", ":event-type": "contentBlockDelta"}


def connect(base_url: str, region: str | None = REGION, **changes: Any) -> LanguageModel:
    """A model with a session of its own, which looks for credentials anew."""
    return replace(BEDROCK, prepare=Bedrock(region).prepare).connect(base_url, **changes)


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (
            Fail(403, "AccessDeniedException", "You don't have access to the model"),
            BadKeyError,
            "access to this model in this region.* bedrock:InvokeModelWithResponseStream",
        ),
        (Fail(403, "UnrecognizedClientException"), BadKeyError, "AWS_SESSION_TOKEN"),
        (Fail(403, "ExpiredTokenException"), BadKeyError, "expired: log in again"),
        (Fail(403, "InvalidSignatureException"), BadKeyError, "the clock of this machine"),
        (Fail(404, "ResourceNotFoundException"), ModelNotFoundError, "check `model` and `region`"),
        (
            Fail(400, "ValidationException", "The provided model identifier is invalid."),
            ModelNotFoundError,
            "inference profile.*identifier is invalid",
        ),
        (
            Fail(
                400, "ValidationException", "Invocation with on-demand throughput isn't supported"
            ),
            ModelNotFoundError,
            "`eu.` or `us.` before it",
        ),
        (
            Fail(400, "ValidationException", "Input is too long for requested model."),
            ContextTooLongError,
            "longer than",
        ),
        (
            Fail(400, "ValidationException", "This model doesn't support tool use."),
            BadRequestError,
            "doesn't support tool use",
        ),
        (
            Fail(429, "ThrottlingException", "Too many tokens, please wait before trying again."),
            RateLimitedError,
            "too many requests",
        ),
        (Fail(400, "ServiceQuotaExceededException"), RateLimitedError, "too many requests"),
        (Fail(429, "ModelNotReadyException", headers=AT_ONCE), ModelUnavailableError, "HTTP 429"),
        (Fail(408, "ModelTimeoutException", headers=AT_ONCE), ModelUnavailableError, "HTTP 408"),
        (Fail(424, "ModelErrorException", headers=AT_ONCE), ModelUnavailableError, "HTTP 424"),
        (Fail(500, "InternalServerException", headers=AT_ONCE), ModelUnavailableError, "HTTP 500"),
    ],
)
async def test_each_failure_of_aws_is_named_for_its_reader(
    reply: Fail, kind: type[ModelError], words: str
) -> None:
    async with BEDROCK.open_server(reply, reply, reply) as server:
        with pytest.raises(kind, match=words) as caught:
            await listen(BEDROCK.connect(server.base_url))
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        ("ModelStreamErrorException", "the model broke", ModelUnavailableError),
        ("InternalServerException", "oh", ModelUnavailableError),
        ("ThrottlingException", "slow down", RateLimitedError),
        ("ValidationException", "Input is too long for requested model.", ContextTooLongError),
        ("ValidationException", "malformed", BadRequestError),
    ],
)
async def test_each_exception_inside_the_stream_is_named_for_its_reader(
    code: str, message: str, kind: type[ModelError]
) -> None:
    async with BEDROCK.open_server(FailMidStream("Once", code, message), Say("never")) as server:
        with pytest.raises(kind) as caught:
            await listen(BEDROCK.connect(server.base_url))
        assert len(server.requests) == 1
    assert type(caught.value) is kind


async def test_an_error_that_is_no_exception_of_the_model_ends_the_stream() -> None:
    headers = {":message-type": "error", ":error-code": "InternalError", ":error-message": "oh"}
    async with BEDROCK.open_server(Raw(encode_frame(headers, b""))) as server:
        with pytest.raises(ModelUnavailableError):
            await listen(BEDROCK.connect(server.base_url))


async def test_an_answer_may_be_cut_into_packets_anywhere() -> None:
    text = "Ça va? 早上好 🌅"
    frames = [
        encode_frame(EVENT, f'{{"contentBlockIndex": 0, "delta": {{"text": "{text}"}}}}'.encode()),
        encode_frame({**EVENT, ":event-type": "messageStop"}, b'{"stopReason": "end_turn"}'),
    ]

    async def handle(request: HttpRequest, http: HttpReply) -> None:
        await http.begin(200, {"Content-Type": "application/vnd.amazon.eventstream"})
        for byte in b"".join(frames):
            await http.send(bytes([byte]))
        await http.end()

    async with open_http_server(handle) as base_url:
        assert (await complete(BEDROCK.connect(base_url))).text == text


FRAME = encode_frame(EVENT, b'{"contentBlockIndex": 0, "delta": {"text": "Hi"}}')


@pytest.mark.parametrize(
    "body",
    [
        FRAME[:-1] + b"\0",
        FRAME[:8] + b"\0\0\0\0" + FRAME[12:],
        b"\xff" * 40,
        encode_frame(EVENT, b"{no json"),
        encode_frame(EVENT, b"[1, 2]"),
        encode_frame(EVENT, b"[" * 100_000),
        encode_frame(EVENT, b'{"delta": 5}'),
        encode_frame(EVENT, b""),
        encode_frame({}, b"{}"),
    ],
    ids=["checksum", "prelude", "length", "json", "list", "deep", "shape", "empty", "headless"],
)
async def test_frames_that_are_none_are_no_answer(body: bytes) -> None:
    async with BEDROCK.open_server(Raw(body)) as server:
        with pytest.raises(ModelUnavailableError, match="no model's answer"):
            await listen(BEDROCK.connect(server.base_url))


async def test_half_a_frame_at_the_end_is_a_broken_answer() -> None:
    heard: list[Any] = []
    async with BEDROCK.open_server(Raw(FRAME + FRAME[:-3])) as server:
        with pytest.raises(ModelUnavailableError, match="broke off"):
            await listen(BEDROCK.connect(server.base_url), heard=heard)
    assert to_text(heard) == "Hi"


async def test_an_answer_without_figures_is_complete() -> None:
    events = [
        named("contentBlockDelta", contentBlockIndex=0, delta={"text": "Hi"}),
        named("messageStop", stopReason="end_turn"),
    ]
    async with BEDROCK.open_server(Chunks(events)) as server:
        assert (await complete(BEDROCK.connect(server.base_url))).text == "Hi"


async def test_an_answer_that_bedrock_could_not_read_is_told_unless_it_calls() -> None:
    stop = named("messageStop", stopReason="malformed_tool_use")
    start = {"toolUse": {"toolUseId": "a", "name": "t"}}
    delta = {"toolUse": {"input": "{half"}}
    call = [
        named("contentBlockStart", contentBlockIndex=0, start=start),
        named("contentBlockDelta", contentBlockIndex=0, delta=delta),
    ]
    async with BEDROCK.open_server(Chunks([stop]), Chunks([*call, stop])) as server:
        model = BEDROCK.connect(server.base_url)
        with pytest.raises(ModelUnavailableError, match="malformed"):
            await complete(model)
        assert (await complete(model)).tool_calls == (ToolCall("a", "t", None, "{half"),)


def thought(index: int, **reasoning: str) -> dict[str, Any]:
    delta = {"reasoningContent": reasoning}
    return named("contentBlockDelta", contentBlockIndex=index, delta=delta)


async def test_signed_reasoning_goes_back_as_it_came_and_other_reasoning_does_not() -> None:
    sealed = base64.b64encode(b"sealed thoughts").decode()
    events = [
        thought(0, text="Let me "),
        thought(0, text="see."),
        thought(0, signature=SIGNATURE),
        thought(1, redactedContent=sealed),
        thought(2, text="unsigned"),
        named(
            "contentBlockStart",
            contentBlockIndex=3,
            start={"toolUse": {"toolUseId": "a", "name": "t"}},
        ),
        named("messageStop", stopReason="tool_use"),
    ]
    async with BEDROCK.open_server(Chunks(events), Say("Done")) as server:
        model = BEDROCK.connect(server.base_url)
        completion = await complete(model)
        assert completion.thoughts == "Let me see.unsigned"
        call: dict[str, Any] = {"type": "tool_use", "id": "a", "name": "t", "input": {}}
        foreign: dict[str, Any] = {"type": "redacted_thinking", "data": "no base64!"}
        content = [*map(dict, completion.reasoning), foreign, call]
        messages = [
            user("Hi"),
            Message(role="assistant", content=content),
            Message(role="tool", tool_call_id="a", content="x"),
        ]
        assert (await complete(model, ask(*messages))).text == "Done"
    assert server.requests[1]["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "Let me see.", "signature": SIGNATURE}}},
        {"reasoningContent": {"redactedContent": sealed}},
        {"toolUse": {"toolUseId": "a", "name": "t", "input": {}}},
    ]


@pytest.mark.parametrize(
    ("model", "marks"),
    [
        ("anthropic.claude-3-5-haiku-20241022-v1:0", 3),
        ("us.anthropic.claude-3-7-sonnet-20250219-v1:0", 3),
        ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", 3),
        ("arn:aws:bedrock:eu-west-1:1:inference-profile/eu.anthropic.claude-opus-5", 3),
        ("anthropic.claude-3-5-sonnet-20240620-v1:0", 0),
        ("anthropic.claude-instant-v1", 0),
        ("amazon.nova-pro-v1:0", 0),
        ("meta.llama3-1-8b-instruct-v1:0", 0),
        ("arn:aws:bedrock:us-east-1:1:application-inference-profile/abc123", 0),
    ],
)
def test_caches_are_marked_only_for_models_that_are_known_to_take_it(
    model: str, marks: int
) -> None:
    request = ask(user("Hi"), tools=[ToolDefinition("t", "T", {})])
    body = to_converse_parameters(request, model=model, max_tokens=1, temperature=None)
    last = [
        body["messages"][-1]["content"][-1],
        body["system"][-1],
        body["toolConfig"]["tools"][-1],
    ]
    assert sum("cachePoint" in block for block in last) == marks


def turn(*content: dict[str, Any], failed: bool = False) -> list[Message]:
    call: dict[str, Any] = {"type": "tool_use", "id": "a", "name": "t", "input": {}}
    result = Message(role="tool", tool_call_id="a", content=list(content), is_error=failed or None)
    return [user("Hi"), Message(role="assistant", content=[call]), result]


@pytest.mark.parametrize(
    ("model", "sent"),
    [
        ("amazon.nova-lite-v1:0", {"status": "error", "content": [{"text": "no such zone"}]}),
        (
            "mistral.mistral-large-2407-v1:0",
            {"content": [{"text": "The tool failed:"}, {"text": "no such zone"}]},
        ),
    ],
)
def test_a_failed_tool_is_told_in_a_way_that_the_model_takes(
    model: str, sent: dict[str, Any]
) -> None:
    request = ask(*turn({"type": "text", "text": "no such zone"}, failed=True))
    body = to_converse_parameters(request, model=model, max_tokens=1, temperature=None)
    assert body["messages"][2]["content"][0]["toolResult"] == {"toolUseId": "a", **sent}


def test_tools_that_are_gone_are_still_declared_while_the_history_calls_them() -> None:
    request = ask(*turn({"type": "text", "text": "x"}))
    body = to_converse_parameters(request, model="m", max_tokens=1, temperature=None)
    assert [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]] == ["t"]
    without = to_converse_parameters(ask(), model="m", max_tokens=1, temperature=None)
    assert "toolConfig" not in without


async def test_a_temperature_that_aws_has_not_is_refused_before_anything_is_sent() -> None:
    async with BEDROCK.open_server(Say("never")) as server:
        with pytest.raises(BadRequestError, match="temperature"):
            await listen(connect(server.base_url, temperature=-1.0))
        assert server.http_requests == []


async def test_a_missing_region_is_told_with_where_to_name_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(ModelNotFoundError, match=r"set `region` .* or AWS_DEFAULT_REGION"):
        await listen(connect("http://127.0.0.1:9", None, endpoint=Endpoint("")))


async def test_a_region_that_can_be_none_is_told() -> None:
    with pytest.raises(BadKeyError, match=r"AWS settings .* can't be used"):
        await listen(connect("http://127.0.0.1:9", "eu central", endpoint=Endpoint("")))


async def test_missing_credentials_are_told_with_the_ways_to_give_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    with pytest.raises(BadKeyError, match=r"AWS_PROFILE, or AWS_ACCESS_KEY_ID .* IAM role"):
        await listen(connect("http://127.0.0.1:9"))


def write_profile(file: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    file.write_text(f"[profile mine]\n{text}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "mine")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)


async def test_region_and_credentials_may_come_from_a_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = f"aws_access_key_id = AKIAOFTHETESTS\naws_secret_access_key = {SECRET_KEY}\n"
    token = f"aws_session_token = {SESSION_TOKEN}\nregion = {REGION}"
    write_profile(tmp_path / "config", monkeypatch, keys + token)
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    async with BEDROCK.open_server(Say("Hi")) as server:
        assert (await complete(connect(server.base_url, None))).text == "Hi"


async def test_renewed_credentials_are_found_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "aws_access_key_id = AKIAOFTHETESTS\naws_secret_access_key = {}\naws_session_token = {}"
    config = tmp_path / "config"
    write_profile(config, monkeypatch, text.format("expired", SESSION_TOKEN))
    async with BEDROCK.open_server(Say("Hi")) as server:
        model = connect(server.base_url)
        with pytest.raises(BadKeyError):
            await complete(model)
        renewed = text.format(SECRET_KEY, SESSION_TOKEN)
        config.write_text(f"[profile mine]\n{renewed}\n")
        assert (await complete(model)).text == "Hi"


async def test_an_unknown_profile_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(BadKeyError, match="nobody"):
        await listen(connect("http://127.0.0.1:9"))


async def test_what_a_failing_credentials_command_writes_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "fail.py"
    script.write_text("import sys; sys.exit('swordfish')")
    command = f"credential_process = {sys.executable} {script}"
    write_profile(tmp_path / "config", monkeypatch, command)
    with pytest.raises(BadKeyError, match="aws sts get-caller-identity") as caught:
        await listen(connect("http://127.0.0.1:9"))
    assert "swordfish" not in str(caught.value)


async def test_a_turn_can_be_stopped_while_credentials_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = anyio.Event()

    async def never_answer(socket: SocketStream) -> None:
        async with socket:
            asked.set()
            await anyio.sleep_forever()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)
        script = tmp_path / "wait.py"
        script.write_text(f"import socket; socket.create_connection(('127.0.0.1', {port})).recv(1)")
        command = f"credential_process = {sys.executable} {script}"
        write_profile(tmp_path / "config", monkeypatch, command)
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listener.serve, never_answer)
                tasks.start_soon(listen, connect("http://127.0.0.1:9"))
                await asked.wait()
                tasks.cancel_scope.cancel()


async def test_an_api_key_goes_to_aws_and_to_no_other_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-of-the-tests")
    async with BEDROCK.open_server(Say("Hi")) as server:
        assert (await complete(connect(server.base_url))).text == "Hi"
        (request,) = server.http_requests
    assert "bedrock-api-key" not in str(request.headers)
    proxied: list[HttpRequest] = []

    async def tunnel(request: HttpRequest, http: HttpReply) -> None:
        proxied.append(request)
        await http.send_whole(407, b"", {})

    async with open_http_server(tunnel) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            monkeypatch.delenv(name)
        with pytest.raises(ModelUnavailableError, match="Amazon Bedrock can't be reached"):
            await listen(connect("http://127.0.0.1:9", endpoint=Endpoint("")))
    assert {request.path for request in proxied} == {
        "bedrock-runtime.eu-central-1.amazonaws.com:443"
    }
    assert "bedrock-api-key" not in str([request.headers for request in proxied])


async def test_the_question_is_in_no_log_of_aws_library(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with BEDROCK.open_server(Say("Hi")) as server:
        await complete(connect(server.base_url), ask(user("Where are the emeralds?")))
    assert "emeralds" not in caplog.text


async def test_a_request_signed_with_another_secret_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    async with open_bedrock_server(Say("never")) as server:
        with pytest.raises(BadKeyError, match="does not accept the AWS credentials"):
            await listen(connect(server.base_url))
        assert server.requests == []
