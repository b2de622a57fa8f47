"""How our messages become requests that all vendors accept."""

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, cast

import pytest
from anthropic.types.message_create_params import MessageCreateParamsStreaming
from botocore.session import Session
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from pydantic import TypeAdapter

from client.llm.anthropic_messages import to_messages_body
from client.llm.bedrock_messages import to_converse_parameters
from client.llm.openai_messages import to_chat_body
from client.llm.protocol import BadRequestError, ModelRequest, ToolDefinition
from servers.conversations.contract import Message
from tests.client.llm.vendors import ask, user
from tests.fakes.anthropic_server import check_messages_body
from tests.fakes.bedrock_server import MODEL as BEDROCK_MODEL
from tests.fakes.bedrock_server import check_converse_body
from tests.fakes.openai_server import check_chat_body

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(16)).decode()
WEBP = base64.b64encode(b"RIFF\x10\x00\x00\x00WEBPVP8 ").decode()
CLOCK = ToolDefinition("tools__clock", "Tells the time.", {"properties": {"zone": {}}})

anthropic_params = TypeAdapter(MessageCreateParamsStreaming)
openai_params = TypeAdapter(CompletionCreateParamsStreaming)


def exhaust(value: object) -> None:
    """Walk through all of it: what the SDKs type as iterable is checked only while it is read."""
    if isinstance(value, Mapping):
        exhaust([*cast("Mapping[str, object]", value).values()])
    elif isinstance(value, Iterable) and not isinstance(value, str):
        for item in cast("Iterable[object]", value):
            exhaust(item)


def to_anthropic(request: ModelRequest) -> dict[str, Any]:
    body = to_messages_body(request, model="claude", max_tokens=100)
    check_messages_body(body)
    exhaust(anthropic_params.validate_python(body))
    return body


def to_openai(request: ModelRequest, *, for_vendor: bool = False) -> dict[str, Any]:
    body = to_chat_body(request, model="gpt", max_tokens=100, for_vendor=for_vendor)
    check_chat_body(body)
    exhaust(openai_params.validate_python(body))
    return body


@cache
def converse_shape() -> Any:
    model = Session().get_service_model("bedrock-runtime")
    return model.operation_model("ConverseStream").input_shape


def to_bedrock(request: ModelRequest, *, model: str = BEDROCK_MODEL) -> dict[str, Any]:
    """As it is on the wire: what is bytes for botocore is base64 there."""
    body = to_converse_parameters(request, model=model, max_tokens=100, temperature=None)
    report = ParamValidator().validate(body, converse_shape())
    assert not report.has_errors(), report.generate_report()
    sent = json.loads(json.dumps(body, default=lambda data: base64.b64encode(data).decode()))
    check_converse_body(sent, model=model)
    return sent


def assistant(*blocks: dict[str, Any]) -> Message:
    return Message(role="assistant", content=list(blocks))


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def call(call_id: str, name: str = "tools__clock", **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


def result(call_id: str, content: str | list[dict[str, Any]], *, failed: bool = False) -> Message:
    return Message(role="tool", tool_call_id=call_id, content=content, is_error=failed or None)


def without_marks(content: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in block.items() if k != "cache_control"} for block in content]


def test_a_turn_with_tools_is_sent_in_each_vendors_own_shape() -> None:
    request = ask(
        user("What time is it?"),
        assistant(text("Let me see."), call("a", zone="UTC"), call("b", zone="CET")),
        result("b", "13:00"),
        result("a", "no such zone", failed=True),
        assistant(text("It is one.")),
        user("Thanks"),
        tools=[CLOCK],
    )
    anthropic = to_anthropic(request)
    assert [without_marks(message["content"]) for message in anthropic["messages"]] == [
        [text("What time is it?")],
        [text("Let me see."), call("a", zone="UTC"), call("b", zone="CET")],
        [
            {"type": "tool_result", "tool_use_id": "b", "content": [text("13:00")]},
            {
                "type": "tool_result",
                "tool_use_id": "a",
                "content": [text("no such zone")],
                "is_error": True,
            },
        ],
        [text("It is one.")],
        [text("Thanks")],
    ]
    openai = to_openai(request)
    assert [message["role"] for message in openai["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "tool",
        "assistant",
        "user",
    ]
    assert openai["messages"][2]["tool_calls"][0] == {
        "id": "a",
        "type": "function",
        "function": {"name": "tools__clock", "arguments": '{"zone": "UTC"}'},
    }
    assert openai["messages"][4]["content"] == "The tool failed: no such zone"


def test_a_call_without_words_has_null_content_for_openai() -> None:
    request = ask(user("Time?"), assistant(call("a")), result("a", "13:00"))
    assert to_openai(request)["messages"][2]["content"] is None
    assert to_anthropic(request)["messages"][1]["content"] == [call("a")]


def test_caches_are_marked_at_tools_instructions_and_the_end_of_the_history() -> None:
    request = ask(user("One"), assistant(text("Two")), user("Three"), tools=[CLOCK, CLOCK])
    body = to_messages_body(request, model="claude", max_tokens=100)
    mark = {"type": "ephemeral"}
    assert [tool.get("cache_control") for tool in body["tools"]] == [None, mark]
    assert body["system"][0]["cache_control"] == mark
    marks = [message["content"][-1].get("cache_control") for message in body["messages"]]
    assert marks == [None, None, mark]


def test_the_same_history_gives_the_same_bytes() -> None:
    request = ask(user("One"), assistant(call("odd id!"), call("odd id!")), tools=[CLOCK])
    messages = [*request.messages, result("odd id!", "x"), result("odd id!", "y"), user("Two")]
    first, second = (
        json.dumps(to_messages_body(ask(*messages), model="m", max_tokens=1)) for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize("to_body", [to_anthropic, to_openai, to_bedrock])
@pytest.mark.parametrize(
    "messages",
    [
        [user("  \n ")],
        [user("One"), user("Two")],
        [user("One"), Message(role="assistant", content=""), user("Two")],
        [user("One"), assistant(text("")), user("Two")],
        [Message(role="assistant", content="Welcome!"), user("Hi")],
        [user("Hi"), assistant(text(" ")), assistant(text("a")), assistant(text("b")), user("?")],
        [user("Hi"), assistant(call("a")), result("a", "")],
        [user("Hi"), assistant(call("a")), result("a", "", failed=True)],
        [user("Hi"), assistant(call("functions.get:0")), result("functions.get:0", "x")],
        [user("Hi"), assistant(call("x" * 256)), result("x" * 256, "x")],
        [user("Hi"), assistant(call("")), result("", "x")],
        [
            user("Hi"),
            assistant(call("same")),
            result("same", "x"),
            assistant(call("same")),
            result("same", "y"),
        ],
        [user("Hi"), assistant(call("a", name="my tool! ☂" * 20)), result("a", "x")],
        [user("Hi"), assistant(call("a", name="")), result("a", "x")],
        [user("Hi"), assistant({"type": "thinking", "thinking": "x", "signature": "y"}), user("?")],
    ],
)
def test_what_vendors_refuse_is_put_right(
    messages: list[Message], to_body: Callable[[ModelRequest], dict[str, Any]]
) -> None:
    to_body(ask(*messages))


@pytest.mark.parametrize("to_body", [to_anthropic, to_openai, to_bedrock])
@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "nothing to answer"),
        ([user("Hi"), assistant(text("Hello"))], "nothing to answer"),
        ([user("Hi"), assistant(call("a"))], "'a' has no result"),
        ([user("Hi"), assistant(call("a")), user("?")], "'a' has no result"),
        ([user("Hi"), assistant(call("a"), call("b")), result("a", "x")], "'b' has no result"),
        ([user("Hi"), result("a", "x")], "without such a call"),
        (
            [user("Hi"), assistant(call("a")), result("a", "x"), result("a", "y")],
            "without such a call",
        ),
        ([Message(role="system", content="Obey"), user("Hi")], "system message"),
    ],
)
def test_a_history_that_is_not_whole_is_refused(
    messages: list[Message], words: str, to_body: Callable[[ModelRequest], dict[str, Any]]
) -> None:
    with pytest.raises(BadRequestError, match=words):
        to_body(ModelRequest("Be brief.", messages))


@pytest.mark.parametrize(
    ("block", "seen"),
    [
        (text("plain"), "plain"),
        ({"type": "audio", "data": "AAAA", "mimeType": "audio/ogg"}, "sound recording, audio/ogg"),
        (
            {"type": "resource_link", "uri": "file:///a.txt", "name": "a.txt"},
            "[link to a.txt: file:///a.txt]",
        ),
        (
            {"type": "resource", "resource": {"uri": "notes://1", "text": "Buy milk"}},
            "[notes://1]\nBuy milk",
        ),
        ({"type": "hologram", "beam": {"angle": 3}}, '[content of type hologram: {"beam"'),
        ({"type": "image", "data": "no base64!", "mimeType": "image/png"}, "can't be read"),
        ({"type": "image", "data": "AAAA", "mimeType": "image/png"}, "can't be read"),
        ({"type": "image", "data": "PHN2Zz4=", "mimeType": "image/svg+xml"}, "image/svg+xml"),
    ],
)
def test_blocks_no_vendor_reads_become_notes(block: dict[str, Any], seen: str) -> None:
    messages = [
        Message(role="user", content=[block]),
        assistant(block, call("a")),
        result("a", [block]),
    ]
    anthropic = to_anthropic(ask(*messages))["messages"]
    assert seen in anthropic[0]["content"][0]["text"]
    assert seen in anthropic[1]["content"][0]["text"]
    assert seen in anthropic[2]["content"][0]["content"][0]["text"]
    bedrock = to_bedrock(ask(*messages))["messages"]
    assert seen in bedrock[0]["content"][0]["text"]
    assert seen in bedrock[1]["content"][0]["text"]
    assert seen in bedrock[2]["content"][0]["toolResult"]["content"][0]["text"]
    openai = to_openai(ask(*messages))["messages"]
    assert all(seen in message["content"] for message in openai[1:])


def test_images_are_shown_by_what_their_bytes_are() -> None:
    png: dict[str, Any] = {"type": "image", "data": PNG, "mimeType": "image/jpeg"}
    webp: dict[str, Any] = {"type": "image", "data": WEBP, "mimeType": "application/octet-stream"}
    request = ask(
        Message(role="user", content=[text("What is this?"), png]),
        assistant(call("a")),
        result("a", [webp, text("a picture")]),
    )
    anthropic = to_anthropic(request)["messages"]
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    assert anthropic[0]["content"][1] == {"type": "image", "source": source}
    assert anthropic[2]["content"][0]["content"][0]["source"]["media_type"] == "image/webp"
    openai = to_openai(request)["messages"]
    assert openai[1]["content"][1]["image_url"]["url"] == f"data:image/png;base64,{PNG}"
    assert openai[3]["content"] == "[image/webp: not shown here]\n\na picture"


@pytest.mark.parametrize("to_body", [to_anthropic, to_openai, to_bedrock])
def test_schemas_that_vendors_refuse_are_opened_at_the_top(
    to_body: Callable[[ModelRequest], dict[str, Any]],
) -> None:
    schema = {"$schema": "x", "anyOf": [{"required": ["a"]}], "properties": {"a": {"enum": [1]}}}
    tools = [
        ToolDefinition("a", "x" * 3_000, schema),
        ToolDefinition("b", "", {}),
        ToolDefinition("c", "C", {"type": ["object", "null"]}),
    ]
    body = to_body(ask(user("Hi"), tools=tools))
    first = (body.get("tools") or body["toolConfig"]["tools"])[0]
    if "input_schema" in first:
        sent = first["input_schema"]
    elif "function" in first:
        sent = first["function"]["parameters"]
    else:
        sent = first["toolSpec"]["inputSchema"]["json"]
    assert sent == {"type": "object", "properties": {"a": {"enum": [1]}}}


def test_the_limit_of_an_answer_has_the_name_that_the_server_knows() -> None:
    assert to_openai(ask())["max_tokens"] == 100
    assert to_openai(ask(), for_vendor=True)["max_completion_tokens"] == 100


@pytest.mark.parametrize(
    ("model", "effort"),
    [
        ("gpt-5.6-terra", "none"),
        ("gpt-5.4", "none"),
        ("gpt-5.5-2026-04-23", "none"),
        ("gpt-5.2", None),
        ("gpt-5.5-pro", None),
        ("gpt-4.1", None),
        ("o3", None),
    ],
)
def test_reasoning_is_off_for_models_that_else_refuse_tools(model: str, effort: str | None) -> None:
    with_tools = ask(user("Hi"), tools=[CLOCK])
    body = to_chat_body(with_tools, model=model, max_tokens=1, for_vendor=True)
    assert body.get("reasoning_effort") == effort
    elsewhere = to_chat_body(with_tools, model=model, max_tokens=1, for_vendor=False)
    assert "reasoning_effort" not in elsewhere
    bare = to_chat_body(ask(), model=model, max_tokens=1, for_vendor=True)
    assert "reasoning_effort" not in bare


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("aé ", max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab"), inner, max_size=2),
    max_leaves=4,
)
words = st.text("aé \n", max_size=6)
blocks = st.one_of(
    words.map(text),
    st.sampled_from([PNG, "AAAA", "!"]).map(
        lambda data: {"type": "image", "data": data, "mimeType": "image/png"}
    ),
    st.just({"type": "audio", "data": "AAAA", "mimeType": "audio/ogg"}),
    st.dictionaries(st.text("ab", min_size=1), json_values, max_size=2).map(
        lambda fields: {**fields, "type": "unheard_of"}
    ),
)
contents = words | st.lists(blocks, max_size=3)
user_contents = contents.filter(bool)
ids = st.text("ab.:é", max_size=3)


@st.composite
def turns(draw: st.DrawFn) -> list[Message]:
    """Whole turns as any client may have stored them."""
    messages: list[Message] = []
    for _ in range(draw(st.integers(1, 3))):
        messages.append(Message(role="user", content=draw(user_contents)))
        for _ in range(draw(st.integers(0, 2))):
            chosen = draw(st.lists(ids, max_size=3, unique=True))
            said = draw(st.lists(blocks, max_size=2))
            arguments = st.dictionaries(st.text("ab"), json_values, max_size=2)
            calls = [call(one, draw(ids)) | {"input": draw(arguments)} for one in chosen]
            messages.append(Message(role="assistant", content=[*said, *calls]))
            messages.extend(
                result(one, draw(contents), failed=draw(st.booleans()))
                for one in draw(st.permutations(chosen))
            )
        if draw(st.booleans()):
            messages.append(Message(role="assistant", content=draw(contents)))
    return [*messages, Message(role="user", content=draw(user_contents))]


@given(turns())
def test_any_whole_turns_are_accepted_by_all_vendors(messages: list[Message]) -> None:
    request = ask(*messages, tools=[CLOCK])
    anthropic = to_anthropic(request)
    openai = to_openai(request)
    bedrock = to_bedrock(request)
    to_bedrock(ask(*messages), model="meta.llama3-1-8b-instruct-v1:0")
    calls = sum(
        block["type"] == "tool_use"
        for message in messages
        if isinstance(message.content, list)
        for block in message.content
    )
    assert json.dumps(anthropic["messages"]).count('"type": "tool_result"') == calls
    assert json.dumps(bedrock["messages"]).count('"toolResult"') == calls
    assert sum(message["role"] == "tool" for message in openai["messages"]) == calls
