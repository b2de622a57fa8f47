"""The store goes away at each await of a turn, and comes back."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from client.coordinator.coordinator import Coordinator
from client.coordinator.events import ToolFinished, TurnEvent, TurnFailed, TurnFinished
from client.llm.scripted import Held, ScriptedModel
from client.spool.folder import MAX_BYTES, Entry
from client.store_absence import STORE_SECONDS
from servers.conversations.contract import Message
from tests.assistant import (
    Assistant,
    ask,
    assert_whole,
    calls,
    open_assistant,
    run_turn,
    said,
)
from tests.client.spool.outage import Machine, Outage

BOOKING = [calls(("book", {}), text="One moment."), said("Booked.")]
"""Four calls to the store: the question, the history, before `book` (it changes things), the reply.
"""


def book(_: dict[str, Any]) -> str:
    return "booked"


@pytest.mark.parametrize("is_mute", [False, True])
@pytest.mark.parametrize(
    ("after", "asked", "has_reply", "entries"),
    [(0, 0, False, 0), (1, 0, False, 0), (2, 2, True, 2), (3, 2, True, 1)],
    ids=["the question", "the history", "before a tool", "the reply"],
)
async def test_what_becomes_of_a_turn_whose_store_goes_away(
    tmp_path: Path, after: int, asked: int, has_reply: bool, entries: int, is_mute: bool
) -> None:
    machine, model = Machine(tmp_path / "spool"), ScriptedModel([*BOOKING])
    async with open_assistant(tmp_path / "store", {"book": book}) as a:
        coordinator = machine.create_coordinator(a.hub, model)
        outage = Outage(a.hub, after, is_mute=is_mute)
        last = (await run_turn(coordinator, ask("Book it", message_id="m")))[-1]
        outage.end()
        assert len(model.requests) == asked
        assert len(a.lab.calls) == has_reply
        assert machine.waiting == entries
        if not has_reply:
            assert isinstance(last, TurnFailed)
            assert last.code == "store"
            return
        assert isinstance(last, TurnFinished)
        assert (last.content, last.is_stored) == ("Booked.", False)

        await machine.create_spool(a.hub).replay_all()
        messages = await a.messages()
        assert machine.waiting == 0
    assert_whole(messages)
    assert [m.message_id for m in messages] == ["m", "m/1", "m/2", "m/3"]
    assert [m.created_at for m in messages] == sorted(m.created_at or "" for m in messages)
    assert machine.told == [f"What waited for the store is stored now: {entries + 1} messages."]


@pytest.mark.parametrize("has_restarted", [False, True])
async def test_what_waits_is_stored_before_anything_newer(
    tmp_path: Path, has_restarted: bool
) -> None:
    machine = Machine(tmp_path / "spool")
    model = ScriptedModel([said("First."), said("Second.")])
    async with open_assistant(tmp_path / "store") as a:
        coordinator = machine.create_coordinator(a.hub, model)
        outage = Outage(a.hub, 2)
        await run_turn(coordinator, ask("One", message_id="m"))
        refused = (await run_turn(coordinator, ask("Two", message_id="n")))[-1]
        assert isinstance(refused, TurnFailed)
        outage.end()
        if has_restarted:
            coordinator = machine.create_coordinator(a.hub, model)
        last = (await run_turn(coordinator, ask("Two", message_id="n")))[-1]
        assert isinstance(last, TurnFinished)
        assert last.is_stored
        messages = await a.messages()
    assert [m.text() for m in messages] == ["One", "First.", "Two", "Second."]
    assert [m.text() for m in model.requests[1].messages] == ["One", "First.", "Two"]


async def test_a_store_that_comes_back_within_the_turn_gets_it_in_order(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "spool")

    def come_back(_: dict[str, Any]) -> str:
        assert machine.waiting == 1
        outage.end()
        return "booked"

    async with open_assistant(tmp_path / "store", {"book": come_back}) as a:
        outage = Outage(a.hub, 2)
        coordinator = machine.create_coordinator(a.hub, ScriptedModel([*BOOKING]))
        last = (await run_turn(coordinator, ask("Book it", message_id="m")))[-1]
        messages = await a.messages()
    assert isinstance(last, TurnFinished)
    assert last.is_stored
    assert_whole(messages)
    assert [m.message_id for m in messages] == ["m", "m/1", "m/2", "m/3"]


async def spool_a_reply(a: Assistant, machine: Machine, text: str = "Ours.") -> None:
    """A turn `m` whose reply waits."""
    outage = Outage(a.hub, 2)
    coordinator = machine.create_coordinator(a.hub, ScriptedModel([said(text)]))
    last = (await run_turn(coordinator, ask("One", message_id="m")))[-1]
    outage.end()
    assert isinstance(last, TurnFinished)
    assert not last.is_stored


async def test_an_answer_that_another_program_gave_meanwhile_counts(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "spool")
    async with open_assistant(tmp_path / "store") as a:
        await spool_a_reply(a, machine)
        elsewhere = Coordinator(a.hub, ScriptedModel([said("Theirs.")]))
        await run_turn(elsewhere, ask("One", message_id="m", stored=True))
        coordinator = machine.create_coordinator(a.hub, ScriptedModel([said("Second.")]))
        await run_turn(coordinator, ask("Two"))
        assert [m.text() for m in await a.messages()] == ["One", "Theirs.", "Two", "Second."]
    [aside] = machine.folder.survey().aside
    assert aside.suffix == ".taken"
    assert b"Ours." in aside.read_bytes()
    [told] = machine.told
    assert "another program had answered" in told
    assert str(aside) in told
    assert machine.waiting == 0


async def test_a_turn_goes_on_in_no_other_programs_answer(tmp_path: Path) -> None:
    """Somebody answers, and what waited is sent, while a tool of the turn still runs."""
    machine = Machine(tmp_path / "spool")

    async def meet(_: dict[str, Any]) -> str:
        outage.end()
        elsewhere = Coordinator(a.hub, ScriptedModel([said("Theirs.")]))
        await run_turn(elsewhere, ask("Book it", message_id="m", stored=True))
        await spool.replay_all()
        return "booked"

    async with open_assistant(tmp_path / "store", {"book": meet}) as a:
        outage = Outage(a.hub, 2)
        spool = machine.create_spool(a.hub)
        coordinator = Coordinator(a.hub, ScriptedModel([*BOOKING]), spool=spool)
        last = (await run_turn(coordinator, ask("Book it", message_id="m")))[-1]
        assert [m.text() for m in await a.messages()] == ["Book it", "Theirs."]
    assert isinstance(last, TurnFinished)
    assert last.content == "Theirs."
    assert "another program had answered" in machine.told[0]


async def test_what_was_deleted_meanwhile_does_not_come_back(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "spool")
    async with open_assistant(tmp_path / "store") as a:
        await spool_a_reply(a, machine)
        await a.store.delete_conversation("c")
        await machine.create_spool(a.hub).replay_all()
        assert await a.messages() == []
    assert [path.suffix for path in machine.folder.survey().aside] == [".gone"]
    assert "was deleted meanwhile" in machine.told[0]


async def test_a_conversation_that_went_on_meanwhile_gets_it_and_that_is_told(
    tmp_path: Path,
) -> None:
    machine = Machine(tmp_path / "spool")
    async with open_assistant(tmp_path / "store") as a:
        await spool_a_reply(a, machine)
        elsewhere = Coordinator(a.hub, ScriptedModel([said("Second.")]))
        await run_turn(elsewhere, ask("Two"))
        await machine.create_spool(a.hub).replay_all()
        assert [m.text() for m in await a.messages()] == ["One", "Two", "Second.", "Ours."]
        # A model is shown whole turns.
        model = ScriptedModel([said("Third.")])
        await run_turn(machine.create_coordinator(a.hub, model), ask("Three"))
    shown = [m.text() for m in model.requests[0].messages]
    assert shown == ["One", "Ours.", "Two", "Second.", "Three"]
    assert "after messages that came there meanwhile" in machine.told[0]


async def test_two_processes_with_one_spool_store_it_once(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "spool")
    async with open_assistant(tmp_path / "store") as a, open_assistant(tmp_path / "store") as b:
        for _ in range(2):
            await a.store.delete_conversation("c")
            await spool_a_reply(a, machine)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(machine.create_spool(a.hub).replay_all)
                tasks.start_soon(machine.create_spool(b.hub).replay_all)
            assert [m.text() for m in await a.messages()] == ["One", "Ours."]
    assert machine.told == ["What waited for the store is stored now: 1 message."] * 2
    assert machine.folder.survey().aside == ()


async def test_no_call_to_the_store_may_take_longer_than_is_promised(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "spool")
    async with open_assistant(tmp_path / "store") as a:
        await spool_a_reply(a, machine)
        await a.store.append_messages("c", [Message(role="user", content="from elsewhere")])
        a.hub.calls.clear()
        a.hub.limits.clear()
        await run_turn(machine.create_coordinator(a.hub, ScriptedModel([said("Hi.")])), ask("Hi"))
    tools = ["load_conversation", "annotate_message", "append_messages"]  # what waits
    tools += ["append_messages", "load_conversation", "append_messages"]
    assert a.hub.calls == [("conversations", tool) for tool in tools]
    assert a.hub.limits == [STORE_SECONDS] * 6


async def test_a_turn_that_is_stopped_while_its_store_is_away_leaves_a_whole_history(
    tmp_path: Path,
) -> None:
    machine = Machine(tmp_path / "spool")
    async with open_assistant(tmp_path / "store", {"book": book}) as a:
        outage = Outage(a.hub, 2)
        coordinator = machine.create_coordinator(a.hub, ScriptedModel([*BOOKING]))
        async with coordinator.stream(ask("Book it", message_id="m")) as events:
            async for event in events:
                if isinstance(event, ToolFinished):
                    break
        outage.end()
        await machine.create_spool(a.hub).replay_all()
        messages = await a.messages()
    assert_whole(messages)
    assert [m.role for m in messages] == ["user", "assistant", "tool", "assistant"]
    assert (messages[-1].metadata or {})["interrupted"] == "stopped"


async def test_what_waits_for_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """At the desk of one owner, what a bot has spooled for another."""
    machine = Machine(tmp_path / "spool")
    reply = Message(role="assistant", content="hello", message_id="m/1", turn_id="m")
    entry = Entry(owner="bob", conversation_id="c", turn_id="m", messages=[reply])
    machine.folder.add(entry)
    async with open_assistant(tmp_path / "store") as a:
        spool = machine.create_spool(a.hub)
        await spool.replay_all()
        await spool.replay_all()
    assert len(a.hub.calls) == 1
    assert [each for _, each in machine.folder.read(entry.key)] == [entry]
    assert machine.told == []


@pytest.mark.slow
async def test_a_store_that_does_not_answer_any_more_holds_nobody_up(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "spool")
    async with open_assistant(tmp_path / "store") as a:
        held = Held(said("Hello."))
        coordinator = machine.create_coordinator(a.hub, ScriptedModel([held]))

        async def silence() -> None:
            await held.reached.wait()
            a.hub.is_silent = True
            held.release.set()

        events: list[TurnEvent] = []
        async with anyio.create_task_group() as tasks:
            tasks.cancel_scope.deadline = anyio.current_time() + 5
            tasks.start_soon(silence)
            events += await run_turn(coordinator, ask("Hi"))
    assert isinstance(events[-1], TurnFinished)
    assert machine.waiting == 1


@pytest.mark.parametrize("how", ["full", "in the way"])
async def test_what_can_wait_nowhere_is_said_and_nothing_is_started(
    tmp_path: Path, how: str
) -> None:
    machine = Machine(tmp_path / "spool", max_bytes=100 if how == "full" else MAX_BYTES)
    if how == "in the way":
        machine.folder.directory.write_text("a file")
    async with open_assistant(tmp_path / "store", {"book": book}) as a:
        outage = Outage(a.hub, 2)
        coordinator = machine.create_coordinator(a.hub, ScriptedModel([*BOOKING]))
        last = (await run_turn(coordinator, ask("Book it", message_id="m")))[-1]
        assert a.lab.calls == []
        outage.end()
        assert [m.message_id for m in await a.messages()] == ["m"]
        again = machine.create_coordinator(a.hub, ScriptedModel([*BOOKING]))
        done = (await run_turn(again, ask("Book it", message_id="m")))[-1]
    assert isinstance(last, TurnFailed)
    assert "it can't wait for the store either" in last.message
    assert str(machine.folder.directory) in last.message
    assert isinstance(done, TurnFinished)
