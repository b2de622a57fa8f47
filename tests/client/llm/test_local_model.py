"""The embedded model's steps: choose, fill in, answer."""

import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest

from client.llm.local.model import LocalModel
from client.llm.protocol import (
    BadRequestError,
    Completion,
    ContextTooLongError,
    ModelRequest,
    ModelUnavailableError,
    TextDelta,
    ToolDefinition,
    Usage,
)
from servers.conversations.contract import Message
from tests.client.llm.vendors import ask, complete, listen, user
from tests.fakes.local_engine import ABOUT, FakeEngine, open_local_model

CLOCK = ToolDefinition(
    "tools__current_time",
    "The time now. Call it whenever it is needed.",
    {
        "type": "object",
        "properties": {"timezone": {"type": "string", "description": "Such as Europe/Berlin."}},
    },
)
SEARCH = ToolDefinition(
    "web__search",
    "Search the web",
    {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
)
REPLY = {"text": "reply"}
ABOUT_USER = {"text": "about_user"}
ONE_STEP = Usage(100, 7, 90)


@pytest.fixture
def engine(tmp_path: Path) -> FakeEngine:
    return FakeEngine(tmp_path / "weights.gguf")


def chosen(name: str, *calls: object) -> list[dict[str, Any]]:
    return [{"text": f"{name}{json.dumps(calls)}"}]


def called(name: str, **arguments: Any) -> Message:
    block = {"type": "tool_use", "id": "c1", "name": name, "input": arguments}
    return Message(role="assistant", content=[block])


def result(text: str, *, is_error: bool = False) -> Message:
    return Message(role="tool", tool_call_id="c1", content=text, is_error=is_error)


async def test_without_tools_it_just_answers(engine: FakeEngine) -> None:
    engine.write({"text": "Hello to you, too."})
    async with open_local_model(engine) as model:
        events = await listen(model)
    assert [event.text for event in events if isinstance(event, TextDelta)] == [
        "Hello", " to y", "ou, t", "oo.",
    ]  # fmt: skip
    assert events[-1] == Completion("Hello to you, too.", usage=ONE_STEP, model="tiny")
    (body,) = engine.bodies
    assert "response_format" not in body
    assert "tools" not in body
    system, *examples, question = body["messages"]
    assert system["content"].startswith("You are Agentic")
    assert system["content"].endswith("You are an assistant.")
    assert {"role": "assistant", "content": ABOUT} in examples
    assert question == {"role": "user", "content": "Hello"}
    assert body["max_tokens"] == 512


async def test_a_tool_is_chosen_and_filled_in(engine: FakeEngine) -> None:
    engine.write(*chosen("current_time", {"timezone": "Asia/Tokyo"}))
    async with open_local_model(engine) as model:
        events = await listen(model, ask(user("Time in Tokyo?"), tools=[CLOCK, SEARCH]))
    (done,) = events  # nothing of these steps is shown
    assert isinstance(done, Completion)
    assert (done.text, done.stop_reason, done.usage) == ("", "tool_use", ONE_STEP)
    (call,) = done.tool_calls
    assert (call.name, call.arguments) == ("tools__current_time", {"timezone": "Asia/Tokyo"})
    (body,) = engine.bodies  # one step: the name and its arguments are written in one go
    root = r'root ::= "reply" \| "about_user" \| "about_assistant" \| "current_time" "\["'
    assert re.match(root, body["grammar"])
    assert body["temperature"] == 0
    assert "timezone (optional): Such as Europe/Berlin." in body["messages"][0]["content"]


async def test_what_a_call_does_not_need_is_not_offered(engine: FakeEngine) -> None:
    properties = {"query": {"type": "string"}, "limit": {"type": "integer"}}
    search = replace(SEARCH, input_schema={**SEARCH.input_schema, "properties": properties})
    engine.write(*chosen("search", "rain"))
    async with open_local_model(engine) as model:
        await complete(model, ask(user("Rain?"), tools=[search]))
    body = engine.bodies[0]
    told = body["messages"][0]["content"]
    assert "query" in told
    assert "limit" not in told
    assert '"search" "["' in body["grammar"]


async def test_a_zone_is_found_by_its_city(engine: FakeEngine) -> None:
    description = "IANA name such as Europe/Berlin."
    schema = {"properties": {"timezone": {"type": "string", "description": description}}}
    zones = ("Europe/Reykjavik", "hong kong", "Asia/Tokyo", "Nowhere/Atlantis")
    engine.write(*chosen("current_time", *({"timezone": zone} for zone in zones)))
    async with open_local_model(engine) as model:
        clock = replace(CLOCK, input_schema=schema)
        done = await complete(model, ask(user("Time?"), tools=[clock]))
    assert [call.arguments for call in done.tool_calls] == [
        {"timezone": zone}
        for zone in ("Atlantic/Reykjavik", "Asia/Hong_Kong", "Asia/Tokyo", "Nowhere/Atlantis")
    ]


async def test_a_tool_without_parameters_is_not_filled_in(engine: FakeEngine) -> None:
    lamp = ToolDefinition("home__lamp", "Switches the lamp", {"type": "object", "properties": {}})
    engine.write({"text": "lamp"})
    async with open_local_model(engine) as model:
        done = await complete(model, ask(user("Light!"), tools=[CLOCK, lamp]))
    (call,) = done.tool_calls
    assert (call.name, call.arguments, done.usage) == ("home__lamp", {}, ONE_STEP)
    assert len(engine.bodies) == 1


async def test_one_question_may_need_several_calls_of_a_tool(engine: FakeEngine) -> None:
    zones = [{"timezone": zone} for zone in ("Asia/Tokyo", "Europe/Paris", "Asia/Tokyo")]
    engine.write(*chosen("current_time", *zones))
    async with open_local_model(engine) as model:
        done = await complete(model, ask(user("Tokyo and Paris?"), tools=[CLOCK]))
    assert [call.arguments for call in done.tool_calls] == zones[:2]
    assert len({call.id for call in done.tool_calls}) == 2


async def test_where_no_tool_is_needed_it_answers_in_the_same_request(engine: FakeEngine) -> None:
    engine.write(REPLY, {"text": "Rain."})
    async with open_local_model(engine, temperature=0.9) as model:
        done = await complete(model, ask(user("Write about rain"), tools=[CLOCK]))
    assert (done.text, done.stop_reason, done.usage) == ("Rain.", "end", ONE_STEP + ONE_STEP)
    choose, answer = engine.bodies
    assert (choose["temperature"], answer["temperature"]) == (0, 0.9)
    assert choose["id_slot"] != answer["id_slot"]  # neither pushes out what the other has read


@pytest.mark.parametrize(
    ("read_only", "said"), [(True, "A tool answered:]"), (False, "This was done with a tool.")]
)
async def test_results_are_answered_from_without_another_choice(
    engine: FakeEngine, read_only: bool, said: str
) -> None:
    engine.write({"text": "It is 12:00."})
    messages = [user("Time?"), called("tools__current_time"), result("12:00")]
    async with open_local_model(engine) as model:
        done = await complete(model, ask(*messages, tools=[replace(CLOCK, read_only=read_only)]))
    assert done.text == "It is 12:00."
    (body,) = engine.bodies
    last = body["messages"][-1]
    assert last["role"] == "user"
    assert last["content"].startswith(f"Time?\n\n[{said}")
    assert "12:00" in last["content"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("It failed.", "It failed.\n\n(no zone)"),
        ("It failed: no zone.", "It failed: no zone."),
    ],
)
async def test_a_failed_tool_is_told_as_one_and_why(
    engine: FakeEngine, answer: str, told: str
) -> None:
    engine.write({"text": answer})
    messages = [user("Time?"), called("tools__current_time"), result("no zone", is_error=True)]
    async with open_local_model(engine) as model:
        events = await listen(model, ask(*messages, tools=[CLOCK]))
    assert isinstance(events[-1], Completion)
    assert events[-1].text == told
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == told
    assert (
        "failed and said:]\nno zone\n[Tell the user" in engine.bodies[0]["messages"][-1]["content"]
    )


@pytest.mark.parametrize(
    ("said", "answer", "unsaid"),
    [
        ("Booked, number 4711.", "The room is booked.", "\n\n(Booked, number 4711.)"),
        ("Booked, number 4711.", "It is booked as number 4711.", ""),
        # What the user wrote is no news, and what has no number is left to the model.
        ("Booked for 14:30.", "The room is booked.", ""),
        ("Booked.", "Das Zimmer ist reserviert.", ""),
        ('{"number": 17, "room": "Oak"}', "It is booked.", "\n\n(number: 17; room: Oak)"),
        ("Number 4711. " + " ".join(f"And word {n}." for n in range(30)), "It is booked.", ""),
    ],
)
async def test_numbers_of_what_was_done_are_not_left_out(
    engine: FakeEngine, said: str, answer: str, unsaid: str
) -> None:
    engine.write({"text": answer}, {"text": answer})
    messages = [user("Book Oak for 14:30."), called("tools__current_time"), result(said)]
    async with open_local_model(engine) as model:
        done = await complete(model, ask(*messages, tools=[CLOCK]))
        # Of what was just looked up the answer is what was asked for.
        read = await complete(model, ask(*messages, tools=[replace(CLOCK, read_only=True)]))
    assert (done.text, read.text) == (answer + unsaid, answer)


async def test_what_was_found_beside_what_failed_is_not_left_out(engine: FakeEngine) -> None:
    engine.write({"text": "I can't tell the time in Atlantis."})
    calls: list[dict[str, object]] = [
        {"type": "tool_use", "id": name, "name": "tools__current_time", "input": {}}
        for name in ("c1", "c2")
    ]
    failed = Message(role="tool", tool_call_id="c2", content="no zone: Atlantis", is_error=True)
    messages = [
        user("Time in Rome and Atlantis?"),
        Message(role="assistant", content=calls),
        result("In Rome it is 09:05."),
        failed,
    ]
    async with open_local_model(engine) as model:
        done = await complete(model, ask(*messages, tools=[replace(CLOCK, read_only=True)]))
    assert done.text == (
        "I can't tell the time in Atlantis.\n\n(In Rome it is 09:05.)\n(no zone: Atlantis)"
    )


async def test_roles_alternate_whatever_the_history_holds(engine: FakeEngine) -> None:
    engine.write(REPLY, {"text": "Yes."})
    history = [
        user("One"), user("Two"), called("gone__tool"), result("x" * 50_000),
        Message(role="assistant", content="Done."), user("Three"),
    ]  # fmt: skip
    async with open_local_model(engine) as model:
        await complete(model, ask(*history, tools=[CLOCK]))
    for body in engine.bodies:
        roles = [message["role"] for message in body["messages"]]
        assert roles[0] == "system"
        assert roles[1:] == ["user", "assistant"] * ((len(roles) - 2) // 2) + ["user"]
    assert len(json.dumps(engine.bodies[1])) < 10_000


async def test_the_earlier_messages_come_with_what_was_chosen_for_them(engine: FakeEngine) -> None:
    engine.write(*chosen("current_time", {"timezone": "Europe/Paris"}))
    history = [
        user("The time?"), called("tools__current_time"), result("1"),
        Message(role="assistant", content="One."), user("And in Tokyo?"),
        called("tools__current_time", timezone="Asia/Tokyo", made_up=1), result("2"),
        Message(role="assistant", content="Two."), user("And in Paris?"),
    ]  # fmt: skip
    async with open_local_model(engine) as model:
        await complete(model, ask(*history, tools=[CLOCK]))
    asked = [message["content"] for message in engine.bodies[0]["messages"][-5:]]
    assert asked[:4] == [
        "The time?", "current_time[{}]", "And in Tokyo?",
        'current_time[{"timezone":"Asia/Tokyo"}]',
    ]  # fmt: skip


async def test_a_long_talk_changes_the_begin_of_what_is_read_only_now_and_then(
    engine: FakeEngine,
) -> None:
    turns = 12
    engine.write(*[REPLY, {"text": "Yes."}] * turns)
    history: list[Message] = []
    async with open_local_model(engine) as model:
        for number in range(turns):
            history.append(user(f"Message {number}"))
            await complete(model, ask(*history, tools=[CLOCK]))
            history.append(Message(role="assistant", content="Yes."))
    read = [body["messages"] for body in engine.bodies if "grammar" in body]
    anew = [
        number
        for number, (before, after) in enumerate(pairwise(read), start=1)
        if after[: len(before)] != before
    ]
    assert anew == [6, 10]
    assert max(map(len, read)) == max(map(len, read[:6]))


async def test_the_prompts_begin_is_the_same_as_time_goes_by(engine: FakeEngine) -> None:
    engine.write(REPLY, {"text": "A"}, REPLY, {"text": "B"}, {"text": "C"})
    early, late = ("Be kind.\n\nIt is about 10:05 UTC.", "Be kind.\n\nIt is about 10:10 UTC.")
    async with open_local_model(engine) as model:
        for instructions in (early, late):
            await complete(model, ModelRequest(instructions, [user("Hi")], [CLOCK]))
        await complete(model, ModelRequest(late, [user("Hi")]))
    systems = [body["messages"][0]["content"] for body in engine.bodies]
    assert systems[0] == systems[2]
    assert systems[1] == systems[3]
    assert "10:10" in systems[4]  # without a clock to ask


def stored(*texts: str) -> list[Message]:
    """A stored talk: the user's message, the assistant's, and so on; each text is its id too."""
    roles = ("user", "assistant") * len(texts)
    return [
        Message(role=role, content=text, message_id=text)
        for role, text in zip(roles, texts, strict=False)
    ]


async def test_what_was_read_may_stay_when_the_oldest_messages_go(engine: FakeEngine) -> None:
    long, slid = stored("a", "b", "c", "d", "e"), stored("c", "d", "e", "f", "g")
    engine.write(*[{"text": "Yes."}] * 3)
    async with open_local_model(engine) as model:
        for talk in (long, slid, slid):
            await complete(model, ask(*talk))
    assert [body["n_cache_reuse"] > 0 for body in engine.bodies] == [False, True, True]


@pytest.mark.parametrize(
    "then",
    [
        pytest.param(stored("x", "y", "e"), id="another conversation"),
        pytest.param(stored("a", "b", "e"), id="messages taken out"),
        pytest.param([user("e")], id="messages without ids"),
    ],
)
async def test_nothing_moves_into_a_prompt_to_which_it_does_not_belong(
    engine: FakeEngine, then: list[Message]
) -> None:
    engine.write(*[{"text": "Yes."}] * 2)
    async with open_local_model(engine) as model:
        await complete(model, ask(*stored("a", "b", "c", "d", "e")))
        await complete(model, ask(*then))
    assert [body["n_cache_reuse"] for body in engine.bodies] == [0, 0]


async def test_nothing_moves_after_an_answer_that_was_broken_off(engine: FakeEngine) -> None:
    talk = stored("a", "b", "c")
    engine.write({"text": "Yes."}, {"text": "Once upon", "then": "hangs"}, {"text": "Yes."})
    with anyio.fail_after(20):
        async with open_local_model(engine) as model:
            await complete(model, ask(*talk))
            async with model.stream(ask(*stored("x"))) as events:
                await anext(events)
            await complete(model, ask(*talk))
    assert [body["n_cache_reuse"] for body in engine.bodies] == [0, 0, 0]


async def test_equal_names_of_two_servers_stay_apart(engine: FakeEngine) -> None:
    other = ToolDefinition("mail__search", "Search mail", {"type": "object"})
    mine = ToolDefinition("x__reply", "Reply to a mail", {"type": "object"})
    engine.write({"text": "mail__search"})
    async with open_local_model(engine) as model:
        done = await complete(model, ask(user("Find"), tools=[SEARCH, other, mine]))
    assert done.tool_calls[0].name == "mail__search"
    grammar = engine.bodies[0]["grammar"]
    root = grammar.partition("\n")[0]
    assert re.findall(r'\| "(\w+)"', root)[-3:] == ["search", "mail__search", "x__reply"]


async def test_who_the_user_is_is_collected_from_what_they_said(engine: FakeEngine) -> None:
    facts = ["lives in Ulm", "has a cousin called Lu"]
    told = {"text": json.dumps({"name": "Zoë", "facts": facts})}
    engine.write(ABOUT_USER, told, {"text": "You are Zoë."})
    history = [
        user("I'm Zoë, from Ulm."), Message(role="assistant", content="Hello!"),
        user("Time?"), called("tools__current_time"), result("12:00"),
        Message(role="assistant", content="Noon."), user("Wer bin ich?"),
    ]  # fmt: skip
    async with open_local_model(engine) as model:
        done = await complete(model, ask(*history, tools=[CLOCK]))
    assert (done.text, done.usage) == ("You are Zoë.", ONE_STEP + ONE_STEP + ONE_STEP)
    choose, collect, answer = engine.bodies
    assert len({body["id_slot"] for body in engine.bodies}) == 3
    assert "about_user" in choose["grammar"]
    assert collect["messages"][-1]["content"] == "- I'm Zoë, from Ulm."
    last = answer["messages"][-1]["content"]
    assert last.startswith("Wer bin ich?\n\n[")
    assert "name is Zoë. The user lives in Ulm." in last


@pytest.mark.parametrize("text", ['{"name": "Lu", "facts": []}', '{"name": "  ", "facts', ""])
async def test_a_name_that_the_user_never_wrote_is_none(engine: FakeEngine, text: str) -> None:
    engine.write(ABOUT_USER, {"text": text}, {"text": "You haven't told me."})
    async with open_local_model(engine) as model:
        history = [user("Tea, please."), Message(role="assistant", content="!"), user("Who am I?")]
        await complete(model, ask(*history, tools=[CLOCK]))
    assert len(engine.bodies) == 3
    assert "you know: nothing yet" in engine.bodies[-1]["messages"][-1]["content"]


async def test_who_introduces_themselves_is_greeted_by_name_once(engine: FakeEngine) -> None:
    told = {"text": '{"name": "Zoë", "facts": ["lives in Ulm"]}'}
    engine.write(REPLY, told, {"text": "Hello Zoë!"}, REPLY, {"text": "Rest a little."})
    history = [user("My name is Zoë. I live in Ulm.")]
    async with open_local_model(engine) as model:
        await complete(model, ask(*history, tools=[CLOCK]))
        history += [Message(role="assistant", content="Hello Zoë!"), user("I'm tired.")]
        await complete(model, ask(*history, tools=[CLOCK]))
    _, collect, answer, _, later = engine.bodies
    assert collect["messages"][-1]["content"] == "- My name is Zoë. I live in Ulm."
    note = "name is Zoë. The user lives in Ulm. Begin with “Hello Zoë!”"
    assert note in answer["messages"][-1]["content"]
    assert later["messages"][-1]["content"] == "I'm tired."


async def test_what_is_asked_beside_an_introduction_is_just_answered(engine: FakeEngine) -> None:
    engine.write(REPLY, {"text": "12"})
    async with open_local_model(engine) as model:
        await complete(model, ask(user("My name is Zoë. What is 3 * 4?"), tools=[CLOCK]))
    assert len(engine.bodies) == 2


async def test_an_introduction_of_which_no_name_is_made_out_is_just_answered(
    engine: FakeEngine,
) -> None:
    engine.write(REPLY, {"text": '{"name": "Lu", "facts": []}'}, {"text": "Hello!"})
    async with open_local_model(engine) as model:
        await complete(model, ask(user("I'm tired."), tools=[CLOCK]))
    assert engine.bodies[-1]["messages"][-1]["content"] == "I'm tired."


async def test_questions_tell_nothing_about_the_user(engine: FakeEngine) -> None:
    told = {"text": '{"name": "Zoë", "facts": ["counts to 156", "lives in Ulm", "is Lu"]}'}
    engine.write(ABOUT_USER, told, {"text": "You are Zoë."})
    said = ["What is 12 * 13?", "I'm Zoë, and you?", "Hm. ¿Y tú? Ulm is my home.", "Who am I?"]
    history = [
        message for text in said for message in (user(text), Message(role="assistant", content="!"))
    ]
    async with open_local_model(engine) as model:
        await complete(model, ask(*history[:-1], tools=[CLOCK]))
    _, collect, answer = engine.bodies
    assert collect["messages"][-1]["content"] == "- I'm Zoë,\n- Hm. Ulm is my home."
    # What is made up or worked out is left out: no such number, no such name.
    assert "name is Zoë. The user lives in Ulm." in answer["messages"][-1]["content"]


async def test_no_example_of_an_answer_names_anybody(engine: FakeEngine) -> None:
    engine.write({"text": "Hello"})
    async with open_local_model(engine) as model:
        await complete(model, ask(user("Hi")))
    examples = " ".join(message["content"] for message in engine.bodies[0]["messages"][1:-1])
    capitals = {word.strip(".,?!") for word in examples.split() if word[0].isupper()}
    beginnings = {"I", "Who", "What", "And", "So", "You", "Turn", "It", "The", "How", "Which", "In"}
    assert capitals <= {"Agentic", "Here", "Tuesday", "UTC", *beginnings, *ABOUT.split()}


async def test_what_was_chosen_is_remembered_for_later_choices(engine: FakeEngine) -> None:
    engine.write(ABOUT_USER, {"text": "I don't know."}, REPLY, {"text": "Well."})
    async with open_local_model(engine) as model:
        await complete(model, ask(user("Who am I?"), tools=[CLOCK]))
        history = [user("Who am I?"), Message(role="assistant", content="?"), user("Oh")]
        await complete(model, ask(*history, tools=[CLOCK]))
    asked = [message["content"] for message in engine.bodies[2]["messages"][-3:]]
    assert asked == ["Who am I?", "about_user", "Oh"]


@pytest.mark.parametrize("is_new", [True, False])
async def test_the_beginnings_are_read_ahead(engine: FakeEngine, is_new: bool) -> None:
    engine.write(*[{"text": "x", "stop": "length"}] * 3, REPLY, {"text": "Hello."})
    earlier = () if is_new else (user("I'm Zoë."), Message(role="assistant", content="Hi, Zoë!"))
    request = ask(*earlier, user("Hello"), tools=[CLOCK])
    async with open_local_model(engine) as model:
        await model.read_ahead(replace(request, messages=earlier))
        assert (await complete(model, request)).text == "Hello."
    *ahead, choose, answer = engine.bodies
    assert [body["max_tokens"] for body in ahead] == [1, 1, 1]
    for asked in (choose, answer):
        (read,) = [body for body in ahead if body["id_slot"] == asked["id_slot"]]
        assert asked["messages"][:-1] == read["messages"][:-1]


async def test_who_asks_does_not_wait_until_all_is_read_ahead(engine: FakeEngine) -> None:
    """What nobody has read meanwhile is read afterwards."""
    engine.write({"text": "x", "then": "hangs"}, {"text": "Hello."}, *[{"text": "x"}] * 2)
    with anyio.fail_after(20):
        async with (
            open_local_model(engine, pause_seconds=0) as model,
            anyio.create_task_group() as group,
        ):
            group.start_soon(model.read_ahead, ask(tools=[CLOCK]))
            await engine.wait_for(lambda line: "body" in line)
            assert (await complete(model)).text == "Hello."
    first, answered, *after = [body["id_slot"] for body in engine.bodies]
    assert first != answered
    assert after[0] == first
    assert len({first, answered, *after}) == len(after) + 1 == 3


async def test_nothing_is_read_ahead_while_somebody_is_answered(engine: FakeEngine) -> None:
    engine.write({"text": "Once upon", "then": "hangs"})
    with anyio.fail_after(20):
        async with open_local_model(engine) as model, anyio.create_task_group() as group:
            async with model.stream(ask()) as events:
                await anext(events)
                group.start_soon(model.read_ahead, ask(tools=[CLOCK]))
                await anyio.wait_all_tasks_blocked()
                assert len(engine.bodies) == 1
            group.cancel_scope.cancel()


@asynccontextmanager
async def collecting(engine: FakeEngine) -> AsyncGenerator[LocalModel]:
    """A model that collects about its user after each answer."""
    with anyio.fail_after(20):
        async with (
            open_local_model(engine, pause_seconds=0) as model,
            anyio.create_task_group() as group,
        ):
            group.start_soon(model.read_on)
            await anyio.wait_all_tasks_blocked()
            yield model
            group.cancel_scope.cancel()


async def test_what_a_user_told_is_collected_after_the_answer_to_it(engine: FakeEngine) -> None:
    about = {"text": json.dumps({"name": "Zoë", "facts": ["likes tea"]})}
    answers = [{"text": "Hello."}, about, {"text": "Nothing."}, {"text": "Good."}, about]
    # Nothing is collected from a question.
    engine.write(*answers, ABOUT_USER, {"text": "You are Zoë, and you like tea."})
    talk = stored("I'm Zoë.", "Hello.", "What's new?", "Nothing.", "I like tea.", "Good.")
    async with collecting(engine) as model:
        for length, asked in ((1, 2), (3, 3), (5, 5)):
            await complete(model, ask(*talk[:length]))
            await engine.wait_for(lambda _, n=asked: len(engine.bodies) == n)
        # Who asks now waits for a choice and the answer alone.
        await complete(model, ask(*talk, user("Who am I?"), tools=[CLOCK]))
    _, first, _, _, second, _, answer = [body["messages"][-1]["content"] for body in engine.bodies]
    assert (first, second) == ("- I'm Zoë.", "- I'm Zoë.\n- I like tea.")
    assert "name is Zoë. The user likes tea." in answer


async def test_who_asks_while_it_is_collected_does_not_wait_for_it(engine: FakeEngine) -> None:
    about = {"text": json.dumps({"name": "Zoë", "facts": []})}
    engine.write({"text": "Hello."}, about | {"then": "hangs"}, {"text": "Fine."}, about)
    talk = stored("I'm Zoë.", "Hello.", "How are you?")
    async with collecting(engine) as model:
        await complete(model, ask(*talk[:1]))
        await engine.wait_for(lambda _: len(engine.bodies) == 2)
        assert (await complete(model, ask(*talk))).text == "Fine."
        # What was broken off is taken up again.
        await engine.wait_for(lambda _: len(engine.bodies) == 4)
    assert engine.bodies[1]["messages"] == engine.bodies[3]["messages"]


@pytest.mark.parametrize(
    ("written", "stop"),
    [
        ('[{"timezone":"Asia/', "length"),
        ('[{"timezone":"Asia/Tokyo"}]', "length"),
        ('[{"timezone":"Asia/', "stop"),
        ('["Asia/Tokyo"]', "stop"),
    ],
)
async def test_arguments_that_were_cut_off_are_no_arguments(
    engine: FakeEngine, written: str, stop: str
) -> None:
    engine.write({"text": f"current_time{written}", "stop": stop})
    async with open_local_model(engine) as model:
        done = await complete(model, ask(user("Time?"), tools=[CLOCK]))
    (call,) = done.tool_calls
    assert (call.arguments, call.raw) == (None, written)


async def test_a_choice_that_is_none_becomes_an_answer(engine: FakeEngine) -> None:
    engine.write({"text": "repl"}, {"text": "Well."})
    async with open_local_model(engine) as model:
        assert (await complete(model, ask(user("Hi"), tools=[CLOCK]))).text == "Well."


async def test_an_answer_that_reaches_its_end_of_room_says_so(engine: FakeEngine) -> None:
    engine.write({"text": "And then", "stop": "length"})
    async with open_local_model(engine) as model:
        assert (await complete(model)).stop_reason == "max_tokens"


async def test_leaving_ends_the_answer_in_the_engine(engine: FakeEngine) -> None:
    engine.write({"text": "Once upon a time", "then": "hangs"}, {"text": "Next"})
    with anyio.fail_after(20):
        async with open_local_model(engine) as model:
            async with model.stream(ask()) as events:
                assert isinstance(await anext(events), TextDelta)
            await engine.wait_for(lambda line: "departed" in line)
            assert (await complete(model)).text == "Next"


async def test_a_silent_engine_is_given_up(engine: FakeEngine) -> None:
    engine.write({"text": "Well", "then": "hangs"})
    async with open_local_model(engine, timeout_seconds=0.5) as model:
        with pytest.raises(ModelUnavailableError, match=r"embedded model said nothing for 0\.5 s"):
            await complete(model)


async def test_a_history_that_is_too_long_is_told_as_such(engine: FakeEngine) -> None:
    error = "the request exceeds the available context size, exceed_context_size"
    engine.write({"status": 400, "error": error})
    async with open_local_model(engine) as model:
        with pytest.raises(ContextTooLongError):
            await complete(model)


async def test_a_message_that_is_too_long_by_itself_is_told_before_it_is_read(
    engine: FakeEngine,
) -> None:
    engine.write({"text": "reply"}, {"text": "Well."})
    talk = [user("word " * 3_000), Message(role="assistant", content="Long."), user("Hi")]
    async with open_local_model(engine) as model:
        with pytest.raises(BadRequestError, match=r"^The message is longer than local/tiny"):
            await complete(model, ask(user("word " * 4_096), tools=[CLOCK]))
        assert engine.bodies == []
        assert (await complete(model, ask(*talk, tools=[CLOCK]))).text == "Well."


async def test_tools_that_are_too_many_are_told_as_such(engine: FakeEngine) -> None:
    error = "the request exceeds the available context size, exceed_context_size"
    engine.write({"status": 400, "error": error})
    async with open_local_model(engine) as model:
        with pytest.raises(BadRequestError, match=r"^2 tools are more than .*offer_to_model"):
            await complete(model, ask(user("Hi"), tools=[CLOCK, SEARCH]))


async def test_what_the_engine_refuses_is_told(engine: FakeEngine) -> None:
    engine.write({"status": 400, "error": "failed to parse grammar"})
    async with open_local_model(engine) as model:
        with pytest.raises(BadRequestError, match="failed to parse grammar"):
            await complete(model)
