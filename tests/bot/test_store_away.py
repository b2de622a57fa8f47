"""The conversation server is away, or its answers are lost, while people write."""

from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from client.llm.protocol import Completion
from client.llm.scripted import Held, ScriptedModel
from servers.conversations.contract import Message
from tests.bot.running_bot import ADA, BOB, CHAT, Bench, echo, run_in_background
from tests.fakes.bot_api import FakeBotApi


async def test_an_update_is_confirmed_only_when_it_is_stored(api: FakeBotApi, bench: Bench) -> None:
    with anyio.fail_after(20):
        async with run_in_background(bench, api):
            first = api.user_says(ADA, "first")
            await api.wait_until_confirmed(first)
            bench.away = True
            bench.calls.clear()
            polls = len(api.calls_of("getUpdates"))
            second = api.user_says(ADA, "second")
            third = api.user_says(BOB, "third")
            await bench.wait_for_calls("append_messages", "append_messages", "append_messages")
            assert api.confirmed <= second["update_id"]
            assert len(api.calls_of("getUpdates")) == polls + 1

            bench.away = False
            await api.wait_until_confirmed(third)
            await api.wait_for_message(BOB)
            replies = await api.wait_for_message(ADA, 2)

    assert [m["text"] for m in replies] == ["you said: first", "you said: second"]


async def test_stopping_while_the_store_is_away_leaves_the_update_with_telegram(
    api: FakeBotApi, bench: Bench
) -> None:
    with anyio.fail_after(20):
        async with run_in_background(bench, api):
            await api.wait_for_call("setMyCommands")
            bench.away = True
            update = api.user_says(ADA, "hello")
            await bench.wait_for_calls("get_conversation")
        assert api.confirmed <= update["update_id"]
        bench.away = False
        assert await bench.messages() == []
        async with run_in_background(bench, api):
            (reply,) = await api.wait_for_message(ADA)

    assert reply["text"] == "you said: hello"


async def test_an_append_whose_answer_was_lost_is_answered_once(
    api: FakeBotApi, bench: Bench
) -> None:
    model = ScriptedModel(echo)
    lost: list[str] = []

    def lose_first_append(tool: str, arguments: Mapping[str, Any]) -> bool:
        if tool == "append_messages" and not lost:
            lost.append(tool)
            return True
        return False

    bench.lose_answer = lose_first_append
    with anyio.fail_after(20):
        async with run_in_background(bench, api, model):
            api.user_says(ADA, "hello")
            await bench.wait_for_states("answered", "delivered")
            api.user_says(ADA, "bye")
            replies = await api.wait_for_message(ADA, 2)

    assert lost
    assert [m["text"] for m in replies] == ["you said: hello", "you said: bye"]


async def test_the_bot_starts_while_the_store_is_away(api: FakeBotApi, bench: Bench) -> None:
    bench.away = True
    with anyio.fail_after(20):
        async with run_in_background(bench, api):
            update = api.user_says(ADA, "hello")
            await bench.wait_for_calls("list_deliveries", "list_deliveries")
            assert api.confirmed <= update["update_id"]
            bench.away = False
            await api.wait_for_message(ADA)


async def test_a_turn_that_loses_the_store_is_run_again_when_it_is_back(
    api: FakeBotApi, bench: Bench
) -> None:
    held = Held(Completion(text="first try"))
    model = ScriptedModel([held, Completion(text="second try")])
    with anyio.fail_after(40):
        async with run_in_background(bench, api, model):
            api.user_says(ADA, "hello")
            await held.reached.wait()
            bench.away = True
            held.release.set()
            (notice,) = await api.wait_for_message(ADA)
            bench.away = False
            replies = await api.wait_for_message(ADA, 2)
            await bench.wait_for_states("answered", "delivered")

    assert "can't reach my memory" in notice["text"]
    assert replies[1]["text"] == "second try"


async def test_a_message_that_cannot_be_taken_in_is_told_and_stops_nobody(
    api: FakeBotApi, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def break_for_ada(tool: str, arguments: Mapping[str, Any]) -> bool:
        if tool == "append_messages" and arguments["conversation_id"] == CHAT:
            raise ValueError("an error nobody thought of")
        return False

    bench.lose_answer = break_for_ada
    with anyio.fail_after(20):
        async with run_in_background(bench, api):
            api.user_says(ADA, "hello")
            (sentence,) = await api.wait_for_message(ADA)
            api.user_says(BOB, "hello")
            await api.wait_for_message(BOB)

    assert "could not take in your last message" in sentence["text"]
    reference = sentence["text"].removesuffix(")").split()[-1]
    assert f"reference {reference}" in caplog.text


async def test_what_another_owner_marks_for_delivery_reaches_nobody_else(
    api: FakeBotApi, bench: Bench
) -> None:
    forged = Message(
        role="assistant",
        content="gotcha",
        message_id="x/1",
        turn_id="x",
        annotations={"delivery": {"state": "pending", "channel": "telegram", "chat_id": ADA}},
    )
    await bench.store("bob").append_messages("c", [forged])
    with anyio.fail_after(20):
        async with run_in_background(bench, api):
            api.user_says(ADA, "hello")
            replies = await api.wait_for_message(ADA)

    assert [m["text"] for m in replies] == ["you said: hello"]
