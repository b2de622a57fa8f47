"""Servers that ask the user during calls, in both eras: who is asked, and who is not."""

import json
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest

from client.asking.questions import Answer, FormQuestion, PageQuestion, Question
from client.asking.server_questions import DirectAnswerer
from client.hub.errors import CallTimedOutError, ServerFaultError
from client.hub.hub import Hub, open_hub
from client.hub.servers import HttpTarget, HubServer
from tests.client.hub.fakes import first_text, stdio
from tests.fakes.mcp_servers.asks import FORM
from tests.fakes.mcp_servers.wire import text, tool
from tests.fakes.streaming_http import HttpReply, HttpRequest, open_http_server

ERAS = pytest.mark.parametrize("era", [(), ("modern",)], ids=["older", "modern"])


@dataclass(eq=False)
class Person:
    answer: Answer = field(default_factory=lambda: Answer("accept", {"city": "Rome"}))
    asked: list[Question] = field(default_factory=list[Question])
    thinks_seconds: float = 0.0
    was_asked: anyio.Event = field(default_factory=anyio.Event)

    async def ask(self, question: Question) -> Answer:
        self.asked.append(question)
        self.was_asked.set()
        await anyio.sleep(self.thinks_seconds)
        return self.answer


async def call(hub: Hub, tool: str, person: Person | None, **settings: Any) -> Any:
    answerer = person and DirectAnswerer(person, "asks", tool, timeout_seconds=20)
    result = await hub.call_tool("asks", tool, {}, answerer=answerer, **settings)
    return json.loads(first_text(result))


def given(told: Any, era: tuple[str, ...]) -> Any:
    return told["given"]["answer"] if era else told


@ERAS
async def test_a_form_is_put_to_the_person_and_answered_with_its_presets(
    era: tuple[str, ...],
) -> None:
    person = Person()
    with anyio.fail_after(20):
        async with open_hub([stdio("asks", "asks", *era)], can_ask=True) as hub:
            told = await call(hub, "book", person)
    assert given(told, era) == {"action": "accept", "content": {"city": "Rome", "nights": 2}}
    [question] = person.asked
    assert isinstance(question, FormQuestion)
    assert (question.server, question.tool) == ("asks", "book")
    assert question.form.message == "Where to?"
    assert [f.name for f in question.form.fields] == ["city", "nights", "mail"]


@ERAS
async def test_a_page_is_shown_with_the_host_it_leads_to(era: tuple[str, ...]) -> None:
    person = Person(Answer("accept"))
    with anyio.fail_after(20):
        async with open_hub([stdio("asks", "asks", *era)], can_ask=True) as hub:
            assert given(await call(hub, "pay", person), era) == {"action": "accept"}
    [question] = person.asked
    assert isinstance(question, PageQuestion)
    assert question.page.host == "pay.example.com"


@ERAS
async def test_who_declines_is_heard(era: tuple[str, ...]) -> None:
    with anyio.fail_after(20):
        async with open_hub([stdio("asks", "asks", *era)], can_ask=True) as hub:
            told = await call(hub, "book", Person(Answer("decline")))
            assert given(told, era) == {"action": "decline"}
            told = await call(hub, "book", Person(Answer("unreachable")))
            assert given(told, era) == {"action": "cancel"}


@ERAS
async def test_what_can_not_be_put_to_anybody_is_not(era: tuple[str, ...]) -> None:
    """A nested form, a page that hides where it leads, and questions without end."""
    person = Person()
    with anyio.fail_after(20):
        async with open_hub([stdio("asks", "asks", *era)], can_ask=True) as hub:
            for tool, reason in [("wrong", "no such type"), ("trick", "hides")]:
                if era:
                    with pytest.raises(ServerFaultError, match=reason):
                        await call(hub, tool, person)
                else:
                    assert reason in (await call(hub, tool, person))["message"]
            assert person.asked == []
            if era:
                with pytest.raises(ServerFaultError, match="more than 10"):
                    await call(hub, "endless", person)
            else:
                assert "more than 10" in (await call(hub, "endless", person))["message"]
    assert len(person.asked) == 10


@dataclass(eq=False)
class Broken(Person):
    async def ask(self, question: Question) -> Answer:
        raise RuntimeError("no screen: hunter2")


@ERAS
async def test_that_asking_fails_on_this_side_is_not_told_as_the_servers_fault(
    era: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """The older era's server hears of it and answers, the newer era's call ends."""
    with anyio.fail_after(20):
        async with open_hub([stdio("asks", "asks", *era)], can_ask=True) as hub:
            if era:
                with pytest.raises(ServerFaultError) as raised:
                    await call(hub, "book", Broken())
                told = str(raised.value)
            else:
                told = (await call(hub, "book", Broken()))["message"]
            assert given(await call(hub, "book", Person(Answer("decline"))), era) == {
                "action": "decline"
            }
    assert "putting it to the user failed on this side" in told
    assert "protocol" not in told
    assert "hunter2" not in told
    assert "no screen" in caplog.text


@ERAS
async def test_where_nobody_can_be_asked_nothing_is_declared(era: tuple[str, ...]) -> None:
    with anyio.fail_after(20):
        async with open_hub([stdio("asks", "asks", *era)]) as hub:
            assert "elicitation" not in await call(hub, "known", None)
            if era:
                with pytest.raises(ServerFaultError, match="nobody who could be asked"):
                    await call(hub, "book", None)
            else:
                assert "not supported" in (await call(hub, "book", None))["message"]
        async with open_hub([stdio("asks", "asks", *era)], can_ask=True) as hub:
            assert (await call(hub, "known", Person()))["elicitation"] == {"form": {}, "url": {}}


@pytest.mark.slow
@ERAS
async def test_the_calls_time_stands_still_while_a_person_thinks(era: tuple[str, ...]) -> None:
    person = Person(thinks_seconds=1.1)
    with anyio.fail_after(20):
        async with open_hub([stdio("asks", "asks", *era)], can_ask=True) as hub:
            await hub.wait_ready(timeout_seconds=15)
            told = await call(hub, "twice", person, timeout_seconds=2.0)
    assert given(told, era)["action"] == "accept"
    assert len(person.asked) == 2


async def test_several_requests_of_one_answer_are_put_one_after_the_other() -> None:
    person = Person()
    with anyio.fail_after(20):
        async with open_hub([stdio("asks", "asks", "modern")], can_ask=True) as hub:
            told = await call(hub, "both", person)
    assert told["given"].keys() == {"first", "second"}
    assert told["state"] == "1"
    assert len(person.asked) == 2


async def test_a_page_that_is_wanted_first_is_gone_through_before_the_call_is_made_again() -> None:
    with anyio.fail_after(20):
        async with open_hub([stdio("asks", "asks")], can_ask=True) as hub:
            answerer = DirectAnswerer(Person(Answer("accept")), "asks", "pay_first", 20)
            result = await hub.call_tool("asks", "pay_first", {}, answerer=answerer)
        assert first_text(result) == "paid"
        async with open_hub([stdio("asks", "asks")], can_ask=True) as hub:
            with pytest.raises(ServerFaultError, match="open a page before") as failure:
                await call(hub, "pay_first", Person(Answer("decline")))
    assert failure.value.code == -32042


async def test_a_page_that_the_server_says_is_done_needs_no_answer() -> None:
    person = Person(thinks_seconds=60)
    with anyio.fail_after(20):
        async with open_hub([stdio("asks", "asks")], can_ask=True) as hub:
            told: list[Any] = []

            async def pay() -> None:
                told.append(await call(hub, "pay", person))

            async with anyio.create_task_group() as group:
                group.start_soon(pay)
                await person.was_asked.wait()
                await hub.call_tool("asks", "tell_done", {})
    assert told == [{"action": "accept"}]


async def test_a_question_that_may_be_for_either_of_two_people_is_put_to_none() -> None:
    ada, bob = Person(), Person()
    with anyio.fail_after(20):
        async with open_hub([stdio("asks", "asks")], can_ask=True) as hub:
            await hub.wait_ready(timeout_seconds=15)
            async with anyio.create_task_group() as group:
                group.start_soon(call, hub, "hold", ada)
                await anyio.wait_all_tasks_blocked()
                assert "whom to ask" in (await call(hub, "book", bob))["message"]
                assert (await call(hub, "book", ada))["action"] == "accept"
                group.cancel_scope.cancel()
            # The call that was given up may still be what a question is about.
            assert "whom to ask" in (await call(hub, "book", bob))["message"]
    assert bob.asked == []
    assert len(ada.asked) == 1


async def test_a_question_ends_with_its_call() -> None:
    person = Person(thinks_seconds=60)
    with anyio.fail_after(20):
        async with open_hub([stdio("asks", "asks")], can_ask=True) as hub:
            await hub.wait_ready(timeout_seconds=15)
            with anyio.move_on_after(60) as turn:
                async with anyio.create_task_group() as group:
                    group.start_soon(call, hub, "book", person)
                    await person.was_asked.wait()
                    turn.cancel()
            with pytest.raises(CallTimedOutError):
                await call(hub, "hold", person, timeout_seconds=0.05)


class OlderWeb:
    """A server of the older era over HTTP, which asks once two calls are under way."""

    def __init__(self) -> None:
        self.calls = 0
        self.both = anyio.Event()
        self.answers: dict[str, Any] = {}
        self.answered: dict[str, anyio.Event] = {}

    async def handle(self, request: HttpRequest, reply: HttpReply) -> None:
        message: dict[str, Any] = request.json() if request.method == "POST" else {}
        method: str = message.get("method", "")
        match method:
            case "initialize":
                about: dict[str, Any] = {
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "w", "version": "1"},
                }
                await answer_json(reply, message, {**about, "protocolVersion": "2025-11-25"})
            case "tools/list":
                await answer_json(reply, message, {"tools": [tool("book")]})
            case "tools/call":
                await self.ask(reply, message["id"])
            case "" if "result" in message:
                self.answers[message["id"]] = message["result"]
                self.answered[message["id"]].set()
                await reply.send_whole(202, b"", {})
            case "notifications/initialized":
                await reply.send_whole(202, b"", {})
            case _:
                await reply.send_whole(405, b"", {})

    async def ask(self, reply: HttpReply, call_id: int) -> None:
        self.calls += 1
        key = f"q{self.calls}"
        self.answered[key] = anyio.Event()
        await reply.begin(200, {"Content-Type": "text/event-stream"})
        if self.calls == 2:
            self.both.set()
        await self.both.wait()
        asked = {"id": key, "method": "elicitation/create", "params": FORM}
        await reply.send(event(asked))
        await self.answered[key].wait()
        await reply.send(event({"id": call_id, "result": text(json.dumps(self.answers[key]))}))
        await reply.end()


def event(message: dict[str, Any]) -> bytes:
    return f"data: {json.dumps({'jsonrpc': '2.0', **message})}\n\n".encode()


async def answer_json(reply: HttpReply, message: Any, result: dict[str, Any]) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
    await reply.send_whole(200, body, {"Content-Type": "application/json"})


async def test_over_http_each_question_goes_to_the_person_of_its_call() -> None:
    people = {city: Person(Answer("accept", {"city": city})) for city in ("Rome", "Oslo")}
    told: dict[str, Any] = {}
    with anyio.fail_after(20):
        async with (
            open_http_server(OlderWeb().handle) as url,
            open_hub([HubServer("asks", HttpTarget(f"{url}/mcp"))], can_ask=True) as hub,
        ):

            async def book(city: str) -> None:
                told[city] = await call(hub, "book", people[city])

            async with anyio.create_task_group() as group:
                group.start_soon(book, "Rome")
                group.start_soon(book, "Oslo")
    assert {city: answer["content"]["city"] for city, answer in told.items()} == {
        "Rome": "Rome",
        "Oslo": "Oslo",
    }
