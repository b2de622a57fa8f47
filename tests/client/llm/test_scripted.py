"""The model that says what it is told."""

from collections.abc import Callable

import anyio
import pytest

from client.llm.protocol import (
    BadRequestError,
    Completion,
    ModelRequest,
    RateLimitedError,
    TextDelta,
    ThoughtDelta,
    ToolCall,
    Usage,
)
from client.llm.scripted import Held, Interrupted, ScriptedModel
from tests.client.llm.vendors import ask, complete, listen, to_text, user


async def test_steps_are_said_in_order_and_requests_are_kept() -> None:
    first = Completion("One", usage=Usage(1, 2, 3))
    second = Completion("", tool_calls=(ToolCall("1", "t", {}),), stop_reason="tool_use")
    model = ScriptedModel([first, second, lambda request: Completion(request.instructions)])
    requests = [ask(user("a")), ask(user("b")), ask(user("c"))]
    assert [await complete(model, request) for request in requests] == [
        first,
        second,
        Completion("You are an assistant."),
    ]
    assert model.requests == requests


async def test_thoughts_and_text_come_in_several_deltas() -> None:
    model = ScriptedModel([Completion("A longer sentence.", thoughts="Thinking of it")])
    events = await listen(model)
    assert sum(isinstance(event, TextDelta) for event in events) > 1
    assert sum(isinstance(event, ThoughtDelta) for event in events) > 1
    assert to_text(events) == "A longer sentence."


async def test_an_error_among_the_steps_is_raised() -> None:
    error = RateLimitedError("slow down", retry_after_seconds=3)
    with pytest.raises(RateLimitedError) as caught:
        await listen(ScriptedModel([error]))
    assert caught.value is error


async def test_an_interrupted_step_fails_after_its_text() -> None:
    model = ScriptedModel([Interrupted("Once upon", BadRequestError("no"))])
    with anyio.fail_after(5):
        async with model.stream(ask()) as events:
            assert isinstance(await anext(events), TextDelta)
            with pytest.raises(BadRequestError):
                _ = [event async for event in events]


async def test_a_held_step_waits_for_its_release() -> None:
    held = Held(Completion("A longer sentence."))
    done = anyio.Event()

    async def run() -> None:
        await listen(ScriptedModel([held]))
        done.set()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await held.reached.wait()
            await anyio.wait_all_tasks_blocked()
            assert not done.is_set()
            held.release.set()


async def test_a_script_that_is_over_says_so() -> None:
    model = ScriptedModel([Completion("One")])
    await complete(model)
    with pytest.raises(BadRequestError, match="has 1 steps, this is request 2"):
        await complete(model)


async def test_a_function_answers_every_request() -> None:
    reply: Callable[[ModelRequest], Completion] = lambda request: Completion(  # noqa: E731
        request.messages[-1].text()
    )
    model = ScriptedModel(reply)
    assert (await complete(model, ask(user("a")))).text == "a"
    assert (await complete(model, ask(user("b")))).text == "b"
