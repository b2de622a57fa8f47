from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
import pytest

from agentic.config.models import LimitsConfig, Price
from client.coordinator.coordinator import Coordinator
from client.coordinator.events import (
    StepFinished,
    ToolFinished,
    ToolStarted,
    TurnFailed,
    TurnFinished,
    TurnStarted,
)
from client.hub.errors import ServerUnavailableError
from client.llm.protocol import (
    BadKeyError,
    Completion,
    ContextTooLongError,
    ModelRequest,
    RateLimitedError,
    TextDelta,
    ThoughtDelta,
    ToolCall,
)
from client.llm.scripted import Held, Interrupted, ScriptedModel
from servers.conversations.contract import Message
from tests.assistant import (
    OWNER,
    Assistant,
    ask,
    assert_whole,
    calls,
    open_assistant,
    run_turn,
    said,
)


async def test_a_turn_is_stored_and_told(tmp_path: Path) -> None:
    async with open_assistant(tmp_path) as a:
        coordinator = Coordinator(a.hub, ScriptedModel([said("Hello, Ada.")]))
        events = await run_turn(coordinator, ask("Hi", message_id="m1", metadata={"from": "test"}))
        user, reply = await a.messages()
    assert isinstance(events[0], TurnStarted)
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "Hello, Ada."
    last = events[-1]
    assert isinstance(last, TurnFinished)
    assert (last.content, last.message_id) == ("Hello, Ada.", "m1/1")
    assert (user.message_id, user.turn_id, user.metadata) == ("m1", "m1", {"from": "test"})
    assert (reply.role, reply.content, reply.turn_id) == ("assistant", "Hello, Ada.", "m1")
    assert reply.metadata is not None
    assert reply.metadata["model"] == "scripted/script"
    assert reply.metadata["usage"]["input_tokens"] == 10
    assert reply.metadata["final"] is True
    assert reply.metadata["seconds"] >= 0


async def test_a_turn_without_tools_takes_three_calls(tmp_path: Path) -> None:
    async with open_assistant(tmp_path) as a:
        await run_turn(Coordinator(a.hub, ScriptedModel([said("Hi.")])), ask("Hi"))
        assert [tool for _, tool in a.hub.calls] == [
            "append_messages",
            "load_conversation",
            "append_messages",
        ]


async def test_the_next_request_holds_what_was_said_before(tmp_path: Path) -> None:
    model = ScriptedModel([said("Noted."), said("Ada.")])
    async with open_assistant(tmp_path) as a:
        coordinator = Coordinator(a.hub, model)
        await run_turn(coordinator, ask("I am Ada."))
        await run_turn(coordinator, ask("Who am I?"))
    texts = [(message.role, message.text()) for message in model.requests[1].messages]
    assert texts == [("user", "I am Ada."), ("assistant", "Noted."), ("user", "Who am I?")]


async def test_what_a_model_will_be_asked_next_can_be_known_before(tmp_path: Path) -> None:
    model = ScriptedModel([calls(("read_clock", {})), said("11."), said("Ada."), said("Bob.")])
    now = datetime(2026, 11, 28, 12, tzinfo=UTC)
    async with open_assistant(tmp_path, {"read_clock": lambda a: "11:00"}) as a:
        coordinator = Coordinator(a.hub, model, now=lambda: now)
        await run_turn(coordinator, ask("Time?"))
        again = Coordinator(a.hub, model, now=lambda: now)
        known, new = await again.foresee("c"), await again.foresee()
        await run_turn(again, ask("Who am I?"))
        await run_turn(again, ask("And I?", conversation_id="d"))
    for foreseen, asked in zip((known, new), model.requests[2:], strict=True):
        *before, message = asked.messages
        assert (message.role, list(foreseen.messages)) == ("user", before)
        assert (foreseen.instructions, foreseen.tools) == (asked.instructions, asked.tools)
    assert len(known.messages) == 4


async def test_a_tool_is_called_and_its_result_read(tmp_path: Path) -> None:
    model = ScriptedModel([calls(("read_clock", {"zone": "UTC"}), text="Let me see."), said("11.")])
    async with open_assistant(tmp_path, {"read_clock": lambda a: f"11:00 {a['zone']}"}) as a:
        events = await run_turn(Coordinator(a.hub, model), ask("Time?", message_id="m"))
        messages = await a.messages()
    assert [m.role for m in messages] == ["user", "assistant", "tool", "assistant"]
    assert [m.message_id for m in messages] == ["m", "m/1", "m/2", "m/3"]
    assert_whole(messages)
    assert messages[2].content == "11:00 UTC"
    assert messages[3].metadata is not None
    assert [c["tool"] for c in messages[3].metadata["tool_calls"]] == ["lab__read_clock"]
    started = [e for e in events if isinstance(e, ToolStarted)]
    finished = [e for e in events if isinstance(e, ToolFinished)]
    assert started == [ToolStarted("call-1", "lab__read_clock", {"zone": "UTC"})]
    assert (finished[0].text, finished[0].is_error) == ("11:00 UTC", False)
    assert [e.has_tool_calls for e in events if isinstance(e, StepFinished)] == [True, False]
    sent = model.requests[1].messages
    assert [m.role for m in sent] == ["user", "assistant", "tool"]


async def test_calls_run_at_once_and_results_keep_their_order(tmp_path: Path) -> None:
    second_done = anyio.Event()

    async def first(_: dict[str, Any]) -> str:
        await second_done.wait()
        return "one"

    def second(_: dict[str, Any]) -> str:
        second_done.set()
        return "two"

    model = ScriptedModel([calls(("read_first", {}), ("read_second", {})), said("done")])
    async with open_assistant(tmp_path, {"read_first": first, "read_second": second}) as a:
        with anyio.fail_after(5):
            await run_turn(Coordinator(a.hub, model), ask("Go"))
        messages = await a.messages()
    assert [m.content for m in messages if m.role == "tool"] == ["one", "two"]


async def test_before_a_tool_that_changes_things_the_turn_so_far_is_stored(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    async def book(_: dict[str, Any]) -> str:
        seen.append([m.role for m in await a.messages()])
        return "booked"

    model = ScriptedModel([calls(("book", {})), said("Booked.")])
    async with open_assistant(tmp_path, {"book": book}) as a:
        await run_turn(Coordinator(a.hub, model), ask("Book it"))
    assert seen == [["user", "assistant"]]


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        (calls(("fail", {})), "it broke"),
        (calls(("read_clok", {})), "There is no tool lab__read_clok. Did you mean lab__read_clock"),
        (
            Completion(text="", tool_calls=[ToolCall("1", "lab__read_clock", None, "{bad")]),
            "The arguments are no JSON object",
        ),
    ],
)
async def test_a_failed_call_is_a_result_the_model_reads(
    tmp_path: Path, completion: Completion, expected: str
) -> None:
    def fail(_: dict[str, Any]) -> types.CallToolResult:
        text = types.TextContent(type="text", text="it broke")
        return types.CallToolResult(content=[text], is_error=True)

    model = ScriptedModel([completion, said("I could not.")])
    async with open_assistant(tmp_path, {"fail": fail, "read_clock": lambda a: "11"}) as a:
        events = await run_turn(Coordinator(a.hub, model), ask("Go"))
        messages = await a.messages()
    assert isinstance(events[-1], TurnFinished)
    result = model.requests[1].messages[-1]
    assert result.is_error
    assert result.text().startswith(expected)
    assert_whole(messages)


async def test_the_same_failing_call_three_times_ends_the_turn(tmp_path: Path) -> None:
    model = ScriptedModel(lambda request: calls(("missing", {"a": 1})))
    async with open_assistant(tmp_path) as a:
        with anyio.fail_after(10):
            events = await run_turn(Coordinator(a.hub, model), ask("Go"))
        messages = await a.messages()
    last = events[-1]
    assert isinstance(last, TurnFailed)
    assert last.code == "limit"
    assert "lab__missing failed three times" in last.message
    assert len(model.requests) == 3
    assert messages[-1].content == last.message
    assert_whole(messages)


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        (LimitsConfig(max_steps=2), "limits.max_steps"),
        (LimitsConfig(max_turn_tokens=20), "limits.max_turn_tokens"),
        (LimitsConfig(max_turn_cost=0.00001), "limits.max_turn_cost"),
    ],
)
async def test_a_limit_ends_the_turn_with_its_name(
    tmp_path: Path, limits: LimitsConfig, named: str
) -> None:
    model = ScriptedModel(lambda request: calls(("read_on", {"n": len(request.messages)})))
    async with open_assistant(tmp_path, {"read_on": lambda a: "more"}) as a:
        coordinator = Coordinator(a.hub, model, limits, price=Price(input=1, output=1))
        events = await run_turn(coordinator, ask("Go"))
        messages = await a.messages()
    last = events[-1]
    assert isinstance(last, TurnFailed)
    assert named in last.message
    assert len(model.requests) <= 2
    assert_whole(messages)


async def test_a_turn_that_takes_too_long_is_stopped_whole(tmp_path: Path) -> None:
    async def hang(_: dict[str, Any]) -> str:
        await anyio.Event().wait()
        return "never"

    model = ScriptedModel([calls(("hang", {}))])
    limits = LimitsConfig(turn_timeout_seconds=0.3)
    async with open_assistant(tmp_path, {"hang": hang}) as a:
        with anyio.fail_after(10):
            events = await run_turn(Coordinator(a.hub, model, limits), ask("Go"))
        messages = await a.messages()
    last = events[-1]
    assert isinstance(last, TurnFailed)
    assert "limits.turn_timeout_seconds" in last.message
    assert_whole(messages)
    assert "unknown" in messages[2].text()


async def test_one_hung_tool_costs_its_own_limit_only(tmp_path: Path) -> None:
    async def hang(_: dict[str, Any]) -> str:
        await anyio.Event().wait()
        return "never"

    model = ScriptedModel([calls(("read_hang", {}), ("read_ok", {})), said("half")])
    limits = LimitsConfig(tool_timeout_seconds=0.3)
    async with open_assistant(tmp_path, {"read_hang": hang, "read_ok": lambda a: "ok"}) as a:
        with anyio.fail_after(10):
            events = await run_turn(Coordinator(a.hub, model, limits), ask("Go"))
        messages = await a.messages()
    assert isinstance(events[-1], TurnFinished)
    assert [m.is_error for m in messages if m.role == "tool"] == [True, False]


@pytest.mark.parametrize(
    "error",
    [
        BadKeyError("The key is wrong: check ANTHROPIC_API_KEY."),
        RateLimitedError("Too many requests.", retry_after_seconds=30),
    ],
)
async def test_a_models_failure_is_told_and_the_turn_can_be_run_again(
    tmp_path: Path, error: Exception
) -> None:
    assert isinstance(error, BadKeyError | RateLimitedError)
    model = ScriptedModel([error, said("Now.")])
    async with open_assistant(tmp_path) as a:
        coordinator = Coordinator(a.hub, model)
        failed = (await run_turn(coordinator, ask("Hi", message_id="m")))[-1]
        finished = (await run_turn(coordinator, ask("Hi", message_id="m")))[-1]
        messages = await a.messages()
    assert isinstance(failed, TurnFailed)
    assert (failed.code, failed.message) == ("model", str(error))
    assert failed.reference
    assert isinstance(finished, TurnFinished)
    assert [m.role for m in messages] == ["user", "assistant"]


async def test_an_empty_answer_is_not_passed_on_as_one(tmp_path: Path) -> None:
    async with open_assistant(tmp_path) as a:
        events = await run_turn(Coordinator(a.hub, ScriptedModel([said("  \n")])), ask("Hi"))
    assert isinstance(events[-1], TurnFailed)


async def test_an_answered_message_is_not_answered_again(tmp_path: Path) -> None:
    model = ScriptedModel([said("Once.")])
    async with open_assistant(tmp_path) as a:
        coordinator = Coordinator(a.hub, model)
        await run_turn(coordinator, ask("Hi", message_id="m"))
        last = (await run_turn(coordinator, ask("Hi", message_id="m")))[-1]
    assert isinstance(last, TurnFinished)
    assert last.content == "Once."
    assert last.metadata["repeated"] is True


async def test_two_programs_that_answer_the_same_message_store_one_reply(tmp_path: Path) -> None:
    held = Held(said("First."))
    async with open_assistant(tmp_path) as a:
        slow = Coordinator(a.hub, ScriptedModel([held]))
        quick = Coordinator(a.hub, ScriptedModel([said("Second.")]))
        async with slow.stream(ask("Hi", message_id="m")) as events:
            with anyio.fail_after(5):
                await held.reached.wait()
                await run_turn(quick, ask("Hi", message_id="m"))
                held.release.set()
                last = [event async for event in events][-1]
        messages = await a.messages()
    assert isinstance(last, TurnFinished)
    assert last.content == "Second."
    assert [m.content for m in messages] == ["Hi", "Second."]


async def test_turns_of_one_conversation_come_one_after_the_other(tmp_path: Path) -> None:
    held = Held(said("One."))
    model = ScriptedModel([held, said("Two.")])
    async with open_assistant(tmp_path) as a:
        coordinator = Coordinator(a.hub, model)
        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(run_turn, coordinator, ask("first"))
                await held.reached.wait()
                group.start_soon(run_turn, coordinator, ask("second"))
                await anyio.wait_all_tasks_blocked()
                assert len(model.requests) == 1
                held.release.set()
        messages = await a.messages()
    assert [m.content for m in messages] == ["first", "One.", "second", "Two."]


async def test_a_turn_that_its_user_stops_keeps_what_was_said(tmp_path: Path) -> None:
    held = Held(said("Once upon a time there was a very long story."))
    events: list[object] = []
    async with open_assistant(tmp_path) as a:
        coordinator = Coordinator(a.hub, ScriptedModel([held]))
        assert not coordinator.stop("c", OWNER)

        async def talk() -> None:
            events.extend(await run_turn(coordinator, ask("Go")))

        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(talk)
                await held.reached.wait()
                assert not coordinator.stop("another", OWNER)
                assert coordinator.stop("c", OWNER)
        assert not coordinator.stop("c", OWNER)
        reply = (await a.messages())[-1]
    last = events[-1]
    assert isinstance(last, TurnFailed)
    assert last.code == "cancelled"
    assert reply.text().startswith("Once upon")
    assert reply.text().endswith(last.message)


async def test_thoughts_are_kept_apart_and_not_sent_back(tmp_path: Path) -> None:
    model = ScriptedModel(
        [said("<thinking>hm</thinking>Yes.", thoughts="deep"), said("Still yes.")]
    )
    async with open_assistant(tmp_path) as a:
        coordinator = Coordinator(a.hub, model)
        events = await run_turn(coordinator, ask("Well?"))
        await run_turn(coordinator, ask("Sure?"))
        messages = await a.messages()
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "Yes."
    assert "".join(e.text for e in events if isinstance(e, ThoughtDelta)) == "deephm"
    assert (messages[1].content, messages[1].thoughts) == ("Yes.", "deep\nhm")
    assert "hm" not in model.requests[1].messages[1].text()


async def test_ids_that_an_engine_repeats_are_told_apart(tmp_path: Path) -> None:
    step = Completion(text="", tool_calls=[ToolCall("call_0", "lab__read_n", {})])
    async with open_assistant(tmp_path, {"read_n": lambda a: "n"}) as a:
        await run_turn(Coordinator(a.hub, ScriptedModel([step, step, said("done")])), ask("Go"))
        assert_whole(await a.messages())


async def test_a_large_result_is_cut_to_a_share_of_the_window(tmp_path: Path) -> None:
    model = ScriptedModel([calls(("read_all", {})), said("long")], context_tokens=8_000)
    async with open_assistant(tmp_path, {"read_all": lambda a: "x" * 100_000}) as a:
        await run_turn(Coordinator(a.hub, model), ask("Go"))
    text = model.requests[1].messages[-1].text()
    assert len(text) < 7_000
    assert text.endswith("more characters left out]")


@pytest.mark.parametrize(
    ("prompt", "reason"), [("", "must not be empty"), ("x" * 2_000_000, "at most 524288 bytes")]
)
async def test_what_cannot_be_a_message_is_refused_in_words(
    tmp_path: Path, prompt: str, reason: str
) -> None:
    async with open_assistant(tmp_path) as a:
        events = await run_turn(Coordinator(a.hub, ScriptedModel([])), ask(prompt))
        messages = await a.messages()
    last = events[-1]
    assert isinstance(last, TurnFailed)
    assert last.code == "invalid"
    assert reason in last.message
    assert messages == []


def away(times: int, tool: str = "append_messages", after: int = 0) -> Any:
    seen = {"calls": 0}

    def before(_: str, called: str) -> None:
        if called == tool:
            seen["calls"] += 1
            if after < seen["calls"] <= after + times:
                raise ServerUnavailableError("conversations", "gone for a moment")

    return before


async def test_a_store_that_is_away_for_a_moment_costs_nothing(tmp_path: Path) -> None:
    async with open_assistant(tmp_path) as a:
        a.hub.before = away(2, after=1)
        with anyio.fail_after(10):
            events = await run_turn(Coordinator(a.hub, ScriptedModel([said("Hi.")])), ask("Hi"))
        messages = await a.messages()
    assert isinstance(events[-1], TurnFinished)
    assert [m.content for m in messages] == ["Hi", "Hi."]


async def test_a_store_that_is_away_is_said_and_nothing_pretended(tmp_path: Path) -> None:
    async with open_assistant(tmp_path) as a:
        a.hub.before = away(1)
        events = await run_turn(Coordinator(a.hub, ScriptedModel([])), ask("Hi"))
    last = events[-1]
    assert isinstance(last, TurnFailed)
    assert last.code == "store"
    assert "gone for a moment" in last.message


async def test_a_call_started_before_a_crash_is_not_repeated(tmp_path: Path) -> None:
    model = ScriptedModel([said("I don't know whether it is booked.")])
    async with open_assistant(tmp_path, {"book": lambda a: "booked"}) as a:
        use = {"type": "tool_use", "id": "u1", "name": "lab__book", "input": {"seat": 4}}
        await a.store.append_messages(
            "c",
            [
                Message(role="user", content="Book seat 4", message_id="m", turn_id="m"),
                Message(role="assistant", content=[use], message_id="m/1", turn_id="m"),
            ],
        )
        events = await run_turn(
            Coordinator(a.hub, model), ask("Book seat 4", message_id="m", stored=True)
        )
        messages = await a.messages()
    assert isinstance(events[-1], TurnFinished)
    assert a.lab.calls == []
    told = model.requests[0].messages[-1]
    assert told.tool_call_id == "u1"
    assert "outcome of this call is unknown" in told.text()
    assert_whole(messages)
    assert [m.message_id for m in messages] == ["m", "m/1", "m/2", "m/3"]


async def test_a_history_too_long_for_the_model_is_cut_and_sent_again(tmp_path: Path) -> None:
    def answer(request: ModelRequest) -> Completion:
        if len(request.messages) > 3:
            raise ContextTooLongError("too long")
        return said("short")

    async with open_assistant(tmp_path) as a:
        for number in range(30):
            await a.store.append_messages(
                "c",
                [
                    Message(role="user", content="q" * 6_000, turn_id=f"t{number}"),
                    Message(role="assistant", content="a" * 6_000, turn_id=f"t{number}"),
                ],
            )
        model = ScriptedModel(answer, context_tokens=20_000)
        events = await run_turn(Coordinator(a.hub, model), ask("Now?"))
    assert isinstance(events[-1], TurnFinished)
    assert 1 < len(model.requests) <= 3
    assert all(request.messages[0].role == "user" for request in model.requests)


async def test_what_was_said_before_the_model_broke_is_not_stored_as_the_reply(
    tmp_path: Path,
) -> None:
    broken = Interrupted("Half an ans", RateLimitedError("Too many requests."))
    async with open_assistant(tmp_path) as a:
        events = await run_turn(Coordinator(a.hub, ScriptedModel([broken])), ask("Hi"))
        messages = await a.messages()
    assert isinstance(events[-1], TurnFailed)
    assert [m.role for m in messages] == ["user"]


async def test_a_request_in_the_plain_shape_is_answered_in_it(tmp_path: Path) -> None:
    async with open_assistant(tmp_path) as a:
        coordinator = Coordinator(a.hub, ScriptedModel([said("Hello."), BadKeyError("No key.")]))
        metadata = {"platform": "telegram", "chat_id": 42, "user_name": "Ada"}
        answer = await coordinator.process_request(
            {"prompt": "Hi", "owner": "ada", "metadata": metadata}
        )
        failed = await coordinator.process_request({"prompt": "Hi again", "owner": "ada"})
        stored = await a.messages("telegram:42")
    assert answer["content"] == "Hello."
    assert answer["metadata"]["conversation_id"] == "telegram:42"
    assert [m.role for m in stored] == ["user", "assistant"]
    assert failed["content"] == "No key."
    assert failed["metadata"]["error"]["code"] == "model"


async def stop_after(assistant: Assistant, coordinator: Coordinator, events_seen: int) -> None:
    async with coordinator.stream(ask("Go", message_id="m")) as events:
        seen = 0
        async for _ in events:
            seen += 1
            if seen == events_seen:
                break


@pytest.mark.parametrize("events_seen", range(1, 9))
async def test_a_turn_left_early_leaves_a_whole_history(tmp_path: Path, events_seen: int) -> None:
    model = ScriptedModel([calls(("book", {}), text="Booking it."), said("It is all booked now.")])
    async with open_assistant(tmp_path, {"book": lambda a: "booked"}) as a:
        coordinator = Coordinator(a.hub, model)
        with anyio.fail_after(10):
            await stop_after(a, coordinator, events_seen)
        messages = await a.messages()
        assert_whole(messages)
        assert messages[-1].role == "assistant"
        after = ScriptedModel([said("Fine.")])
        last = (await run_turn(Coordinator(a.hub, after), ask("And now?")))[-1]
    assert isinstance(last, TurnFinished)


async def test_an_id_used_before_a_crash_is_not_used_again(tmp_path: Path) -> None:
    again = Completion(text="", tool_calls=[ToolCall("u1", "lab__read_n", {})])
    async with open_assistant(tmp_path, {"read_n": lambda a: "n"}) as a:
        use: dict[str, Any] = {"type": "tool_use", "id": "u1", "name": "lab__book", "input": {}}
        await a.store.append_messages(
            "c",
            [
                Message(role="user", content="Book it", message_id="m", turn_id="m"),
                Message(role="assistant", content=[use], message_id="m/1", turn_id="m"),
            ],
        )
        model = ScriptedModel([again, said("done")])
        events = await run_turn(Coordinator(a.hub, model), ask("Book it", message_id="m"))
        messages = await a.messages()
    assert isinstance(events[-1], TurnFinished)
    assert_whole(messages)
    assert [m.role for m in model.requests[1].messages][-2:] == ["assistant", "tool"]


async def test_what_was_said_before_a_limit_stays_in_the_history(tmp_path: Path) -> None:
    held = Held(said("Once upon a time there was a very long story."))
    limits = LimitsConfig(turn_timeout_seconds=0.3)
    async with open_assistant(tmp_path) as a:
        with anyio.fail_after(10):
            events = await run_turn(Coordinator(a.hub, ScriptedModel([held]), limits), ask("Go"))
        reply = (await a.messages())[-1]
    last = events[-1]
    assert isinstance(last, TurnFailed)
    assert reply.text().startswith("Once upon")
    assert reply.text().endswith(last.message)
