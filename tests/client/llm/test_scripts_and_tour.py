"""Scripts in YAML, and the tour for people without a model."""

from pathlib import Path

import pytest
from anyio import to_thread

from client.llm.protocol import BadRequestError, ToolCall, ToolDefinition
from client.llm.script_file import load_script
from client.llm.scripted import ScriptedModel
from client.llm.tour import create_tour
from servers.conversations.contract import Message
from tests.client.llm.vendors import ask, complete, user

CLOCK = ToolDefinition("tools__current_time", "Tells the time.", {})


def write(folder: Path, script: str) -> ScriptedModel:
    path = folder / "script.yml"
    path.write_text(script)
    return ScriptedModel(load_script(path))


def after(call: ToolCall, result: str) -> list[Message]:
    block = {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}
    return [
        Message(role="assistant", content=[block]),
        Message(role="tool", tool_call_id=call.id, content=result),
    ]


async def test_replies_are_used_by_match_and_else_in_order(tmp_path: Path) -> None:
    model = await to_thread.run_sync(
        write,
        tmp_path,
        """
        - say: First
        - when: "^(hi|hello)\\\\b"
          say: Hello to you
        - say: Second
        """,
    )
    said = [
        (await complete(model, ask(user(text)))).text
        for text in ("x", "HELLO there", "hi", "y", "hello")
    ]
    assert said == ["First", "Hello to you", "Hello to you", "Second", "Hello to you"]
    with pytest.raises(BadRequestError, match="no reply left"):
        await complete(model, ask(user("z")))


@pytest.mark.parametrize("when", ["when: time", "{}"])
async def test_a_call_is_made_before_its_reply_is_said(tmp_path: Path, when: str) -> None:
    when_line = "" if when == "{}" else f"{when}\n          "
    model = await to_thread.run_sync(
        write,
        tmp_path,
        f"""
        - {when_line}call: {{tool: tools__current_time, arguments: {{timezone: UTC}}}}
          say: It is {{result}}.
        """,
    )
    question = user("What time is it?")
    first = await complete(model, ask(question))
    (call,) = first.tool_calls
    assert (call.name, call.arguments) == ("tools__current_time", {"timezone": "UTC"})
    assert first.stop_reason == "tool_use"
    second = await complete(model, ask(question, *after(call, "noon")))
    assert second.text == "It is noon."


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("- say: [1]", "wrong at 0.say"),
        ("- call: {tool: x}", "wrong at 0.say"),
        ("- {say: x, wen: y}", "wrong at 0.wen"),
        ("- {say: x, when: '('}", "wrong at 0.when"),
        ("- {say: x, call: {arguments: {}}}", "wrong at 0.call.0.tool"),
        ("say: x", "wrong at its top"),
        ("", "wrong at its top"),
        ("- {say: ", "can't be read"),
    ],
)
def test_a_wrong_script_is_refused_with_the_place(tmp_path: Path, script: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        write(tmp_path, script)


def test_a_script_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.yml can't be read"):
        load_script(tmp_path / "nowhere.yml")


@pytest.mark.parametrize("text", ["Hi", "what time is it", "what did I say earlier?", ""])
async def test_the_tour_says_in_its_first_line_that_it_is_no_model(text: str) -> None:
    request = ask(user(text or "."), tools=[CLOCK])
    first_line = (await complete(create_tour(), request)).text.splitlines()[0]
    assert "Scripted tour" in first_line
    assert "no language model" in first_line


async def test_the_tour_calls_the_clock_and_reads_its_answer() -> None:
    question = user("What time is it in Europe/Paris?")
    first = await complete(create_tour(), ask(question, tools=[CLOCK]))
    (call,) = first.tool_calls
    assert (call.name, call.arguments) == (CLOCK.name, {"timezone": "Europe/Paris"})
    messages = [question, *after(call, "13:00 in Paris")]
    second = await complete(create_tour(), ask(*messages, tools=[CLOCK]))
    assert "13:00 in Paris" in second.text
    assert not second.tool_calls


async def test_the_tour_has_no_clock_where_none_is_offered() -> None:
    answer = await complete(create_tour(), ask(user("What time is it?")))
    assert not answer.tool_calls
    assert "no clock" in answer.text


async def test_the_tour_reads_back_the_history_it_was_sent() -> None:
    messages = [user("My cat is called Ada"), Message(role="assistant", content="Noted")]
    answer = await complete(create_tour(), ask(*messages, user("What did I say earlier?")))
    assert "holds 2 messages" in answer.text
    assert "My cat is called Ada" in answer.text
