"""Large answers over HTTP: in pieces, and what they hold."""

from contextlib import ExitStack

import anyio
import pytest
from anyio.lowlevel import checkpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from servers.conversations.attachment_resources import WholeReads
from servers.http_answers import Answers, held_until_answered


@pytest.mark.parametrize("size", [0, 262_144, 262_145, 1_000_000])
async def test_an_answer_goes_out_in_pieces_and_holds_what_it_needs_to_its_end(size: int) -> None:
    happened: list[int | str] = []
    sent = bytearray()
    body = bytes(range(250)) * (size // 250) + bytes(size % 250)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        held = held_until_answered(Request(scope), 30)
        assert held is not None
        held.callback(happened.append, "released")
        await Response(body)(scope, receive, send)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            sent.extend(message["body"])
            happened.append(len(message["body"]))
            assert message.get("more_body", False) == (len(sent) < size)

    async def receive() -> Message:
        raise AssertionError("there is nothing to receive")

    await Answers(app)({"type": "http", "method": "POST", "headers": []}, receive, send)
    assert bytes(sent) == body
    assert happened[-1] == "released"
    assert all(isinstance(each, str) or each <= 262_144 for each in happened)


async def test_a_large_attachment_is_read_whole_when_the_one_before_was_sent() -> None:
    reads, begun = WholeReads(), anyio.Event()
    first, second = ExitStack(), ExitStack()

    async def begin_second() -> None:
        await reads.begin(Request({"type": "http", "agentic.held": (second, anyio.CancelScope())}))
        begun.set()

    with anyio.fail_after(5):
        await reads.begin(Request({"type": "http", "agentic.held": (first, anyio.CancelScope())}))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(begin_second)
            for _ in range(5):
                await checkpoint()
            assert not begun.is_set()
            first.close()
            await begun.wait()
        second.close()


async def test_an_answer_that_nobody_reads_is_broken_off_and_releases_what_it_holds() -> None:
    released = anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        held = held_until_answered(Request(scope), 0.01)
        assert held is not None
        held.callback(released.set)
        await Response(bytes(1_000_000))(scope, receive, send)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await anyio.sleep_forever()

    async def receive() -> Message:
        raise AssertionError("there is nothing to receive")

    with anyio.fail_after(10):
        await Answers(app)({"type": "http", "method": "POST", "headers": []}, receive, send)
    assert released.is_set()
