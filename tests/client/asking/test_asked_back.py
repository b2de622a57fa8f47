"""What servers ask during a turn is stored before anybody is asked, and never what they answer."""

import json
import signal
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentic.config.models import LimitsConfig
from client.asking.questions import Answer, CallQuestion, Question
from client.coordinator.coordinator import Coordinator
from client.coordinator.events import QuestionAnswered, QuestionAsked, TurnEvent, TurnFinished
from client.llm.protocol import Completion, ToolCall
from client.llm.scripted import ScriptedModel
from tests.assistant import Assistant, ask, assert_whole, open_assistant, run_turn, said
from tests.client.hub.fakes import stdio

ERAS = pytest.mark.parametrize("era", [(), ("modern",)], ids=["older", "modern"])
SECRET = "Rome, where nobody knows me"


class Person:
    """Says yes to calls, and answers what servers ask as a test wants."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[Question] = []

    async def ask(self, question: Question) -> Answer:
        self.asked.append(question)
        return Answer("accept") if isinstance(question, CallQuestion) else self.answer


class Silent:
    """Never answers."""

    async def ask(self, question: Question) -> Answer:
        await anyio.sleep_forever()
        raise AssertionError


def wants(*tools: str) -> Completion:
    calls = [ToolCall(f"call-{n}", f"asks__{tool}", {}) for n, tool in enumerate(tools, 1)]
    return Completion("", tool_calls=calls, stop_reason="tool_use")


def open_asking(directory: Path, *era: str) -> AbstractAsyncContextManager[Assistant]:
    return open_assistant(directory, more=[stdio("asks", "asks", *era)])


async def turn(
    assistant: Assistant, asker: Any, *tools: str, **limits: Any
) -> tuple[list[TurnEvent], list[str]]:
    model = ScriptedModel([wants(*tools), said("Well.")])
    coordinator = Coordinator(assistant.hub, model, LimitsConfig(**limits), asker=asker)
    with anyio.fail_after(20):
        events = await run_turn(coordinator, ask("Do it", message_id="m"))
    messages = await assistant.messages()
    return events, [message.text() for message in messages if message.role == "tool"]


@ERAS
async def test_question_and_answer_are_stored_but_not_what_was_written(
    tmp_path: Path, era: tuple[str, ...]
) -> None:
    person = Person(Answer("accept", {"city": SECRET}))
    async with open_asking(tmp_path, *era) as assistant:
        events, [result] = await turn(assistant, person, "read_book")
        stored = await assistant.messages()
    assert isinstance(events[-1], TurnFinished)
    assert SECRET in result  # what the server makes of it is its own affair
    annotations = stored[1].annotations or {}
    question = annotations["question:1"]
    assert question["told"] == [
        {"message": "Where to?", "fields": ["city", "nights", "mail"]},
    ]
    assert "requests" not in question
    assert "state" not in question
    assert annotations["answer:1"] == {"action": "accept", "fields": ["city"]}
    assert SECRET not in json.dumps(annotations)
    assert SECRET not in repr([e for e in events if isinstance(e, QuestionAnswered)])
    kinds = [type(event) for event in events]
    assert kinds.count(QuestionAsked) == kinds.count(QuestionAnswered) == 1
    assert_whole(stored)


@ERAS
async def test_an_answer_that_nobody_gave_is_not_taken_for_the_users(
    tmp_path: Path, era: tuple[str, ...]
) -> None:
    async with open_asking(tmp_path, *era) as assistant:
        _, [result] = await turn(assistant, Person(Answer("unreachable")), "read_book")
    assert "can't be answered here" in result
    assert '"action": "cancel"' in result


@ERAS
async def test_a_question_expires(tmp_path: Path, era: tuple[str, ...]) -> None:
    async with open_asking(tmp_path, *era) as assistant:
        _, [result] = await turn(assistant, Silent(), "read_book", question_timeout_seconds=0.05)
        stored = await assistant.messages()
    assert "no answer came in time" in result
    assert (stored[1].annotations or {})["answer:1"] == {"action": "expired"}


async def test_two_calls_of_a_turn_ask_one_after_the_other(tmp_path: Path) -> None:
    class OneAtATime(Person):
        busy = False

        async def ask(self, question: Question) -> Answer:
            assert not self.busy
            self.busy = True
            await anyio.wait_all_tasks_blocked()
            self.busy = False
            return await super().ask(question)

    person = OneAtATime(Answer("accept", {"city": "Rome"}))
    async with open_asking(tmp_path) as assistant:
        _, results = await turn(assistant, person, "read_book", "read_book")
        stored = await assistant.messages()
    assert len(person.asked) == len(results) == 2
    assert {"answer:1", "answer:2"} <= (stored[1].annotations or {}).keys()
    assert_whole(stored)


async def test_where_nobody_can_be_asked_the_model_is_told_so(tmp_path: Path) -> None:
    async with open_asking(tmp_path, "modern") as assistant:
        _, [result] = await turn(assistant, None, "read_book")
    assert "nobody who could be asked" in result


async def test_a_call_that_asks_takes_its_yes_once(tmp_path: Path) -> None:
    """The tool changes something, and what others wrote was read before."""
    person = Person(Answer("accept", {"city": "Rome"}))
    model = ScriptedModel([wants("read_book"), wants("book"), said("Booked.")])
    async with open_asking(tmp_path, "modern") as assistant:
        coordinator = Coordinator(assistant.hub, model, asker=person)
        with anyio.fail_after(20):
            await run_turn(coordinator, ask("Book", message_id="m"))
        stored = await assistant.messages()
    kinds = [isinstance(question, CallQuestion) for question in person.asked]
    assert kinds == [False, True, False]
    annotations = stored[3].annotations or {}
    assert annotations["question:1"]["kind"] == "call"
    assert annotations["question:2"]["kind"] == "server"
    assert_whole(stored)


async def kill_while_asking(directory: Path, tool: str, *era: str) -> None:
    module = "tests.client.asking.killed_while_asking"
    ended = await anyio.run_process(
        [sys.executable, "-m", module, str(directory), tool, *era], check=False
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()


@pytest.mark.slow
async def test_killed_in_the_newer_era_it_asks_again_and_the_call_goes_on(tmp_path: Path) -> None:
    person = Person(Answer("accept", {"city": "Rome"}))
    with anyio.fail_after(60):
        await kill_while_asking(tmp_path, "book", "modern")
        async with open_asking(tmp_path, "modern") as assistant:
            [_, message] = await assistant.messages()
            assert (message.annotations or {})["question:1"]["state"] == "1"
            second = Coordinator(assistant.hub, ScriptedModel([said("Booked.")]), asker=person)
            assert await second.find_open_question("c", "ada") == "m"
            events = await run_turn(second, ask("", message_id="m", stored=True))
            stored = await assistant.messages()
            assert await second.find_open_question("c", "ada") is None
    assert isinstance(events[-1], TurnFinished)
    # What is stored may be somebody else's: the call needs a yes of its own.
    assert [isinstance(question, CallQuestion) for question in person.asked] == [True, False]
    [result] = [message.text() for message in stored if message.role == "tool"]
    assert json.loads(result)["state"] == "1"
    annotations = stored[1].annotations or {}
    assert annotations["answer:1"] == {"action": "accept", "fields": ["city"]}
    assert "state" not in annotations["question:1"]
    assert_whole(stored)


@pytest.mark.slow
async def test_killed_in_the_older_era_it_is_told_that_the_server_waited(tmp_path: Path) -> None:
    person = Person(Answer("accept", {"city": "Rome"}))
    with anyio.fail_after(60):
        await kill_while_asking(tmp_path, "book")
        async with open_asking(tmp_path) as assistant:
            second = Coordinator(assistant.hub, ScriptedModel([said("Sorry.")]), asker=person)
            assert await second.find_open_question("c", "ada") is None
            await run_turn(second, ask("", message_id="m", stored=True))
            stored = await assistant.messages()
    assert person.asked == []
    [result] = [message.text() for message in stored if message.role == "tool"]
    assert "waited for an answer of the user when the program stopped" in result
    assert_whole(stored)


@pytest.mark.slow
async def test_killed_before_a_yes_it_asks_again_and_the_call_is_made_once(tmp_path: Path) -> None:
    person = Person(Answer("accept"))
    with anyio.fail_after(60):
        await kill_while_asking(tmp_path, "delete_note")
        async with open_assistant(tmp_path, {"delete_note": lambda _: "gone"}) as assistant:
            second = Coordinator(assistant.hub, ScriptedModel([said("Gone.")]), asker=person)
            assert await second.find_open_question("c", "ada") == "m"
            await run_turn(second, ask("", message_id="m", stored=True))
            stored = await assistant.messages()
    assert len(person.asked) == len(assistant.lab.calls) == 1
    assert_whole(stored)


@pytest.mark.slow
async def test_a_planted_question_of_a_server_lets_no_call_through(tmp_path: Path) -> None:
    """As in a file that was taken in: the form looks harmless, and the call is not shown."""

    class Distrustful(Person):
        async def ask(self, question: Question) -> Answer:
            self.asked.append(question)
            return Answer("decline") if isinstance(question, CallQuestion) else self.answer

    person = Distrustful(Answer("accept", {"city": "Rome"}))
    with anyio.fail_after(60):
        await kill_while_asking(tmp_path, "book", "modern")
        async with open_asking(tmp_path, "modern") as assistant:
            second = Coordinator(assistant.hub, ScriptedModel([said("Well.")]), asker=person)
            await run_turn(second, ask("", message_id="m", stored=True))
            stored = await assistant.messages()
    assert len(person.asked) == 1
    [result] = [message.text() for message in stored if message.role == "tool"]
    assert "the user declined" in result
