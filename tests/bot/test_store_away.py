"""The conversation server is away, or its answers are lost, while people write."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from bot import wording
from client.llm.protocol import Completion
from client.llm.scripted import Held, ScriptedModel
from client.spool.aside import find_untold
from client.spool.folder import WHY, Entry, SpoolFolder, key_of
from servers.conversations.contract import Message
from tests.bot.running_bot import ADA, BOB, CHAT, STRANGER, Bench, echo, run_in_background
from tests.fakes.telegram.bot_api import FakeBotApi


async def answer_while_the_store_goes_away(api: FakeBotApi, bench: Bench) -> None:
    """A bot's life: what Ada is answered waits in the spool at its end."""
    held = Held(Completion(text="hello, too"))
    async with run_in_background(bench, api, ScriptedModel([held])):
        api.user_says(ADA, "hello")
        await held.reached.wait()
        bench.away = True
        held.release.set()
        await api.wait_for_message(ADA, 2)


async def test_an_update_is_confirmed_only_when_it_is_stored(api: FakeBotApi, bench: Bench) -> None:
    with anyio.fail_after(20):
        async with run_in_background(bench, api):
            first = api.user_says(ADA, "first")
            await api.wait_until_confirmed(first)
            await bench.wait_for_states("answered", "delivered")
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
            await bench.wait_for_calls("list_identities", "list_identities")
            assert api.confirmed <= update["update_id"]
            bench.away = False
            await api.wait_for_message(ADA)


async def test_a_reply_that_cannot_be_stored_is_sent_at_once_and_stored_once_later(
    api: FakeBotApi, bench: Bench
) -> None:
    held = Held(Completion(text="hello, too"))
    with anyio.fail_after(20):
        async with run_in_background(bench, api, ScriptedModel([held, echo, echo])):
            api.user_says(ADA, "hello")
            await held.reached.wait()
            bench.away = True
            held.release.set()
            await api.wait_for_message(ADA, 2)
            second = api.user_says(ADA, "still there?")
            await bench.wait_for_calls("get_conversation", "append_messages", "append_messages")
            assert api.confirmed <= second["update_id"]
            bench.away = False
            await bench.wait_for_states("answered", "delivered", "answered", "delivered")
            api.user_says(ADA, "bye")
            said = await api.wait_for_message(ADA, 4)

    assert [m["text"] for m in said] == [
        "hello, too",
        wording.NOT_STORED_YET,
        "you said: still there?",
        "you said: bye",
    ]
    assert [m.text() for m in await bench.messages()][:2] == ["hello", "hello, too"]
    assert (await bench.create_spool().survey()).waiting == 0


async def test_a_bot_killed_with_a_delivered_reply_in_its_spool_does_not_send_it_again(
    api: FakeBotApi, bench: Bench
) -> None:
    with anyio.fail_after(20):
        await answer_while_the_store_goes_away(api, bench)
        assert (await bench.create_spool().survey()).waiting == 4
        bench.away = False
        async with run_in_background(bench, api):
            await bench.wait_for_states("answered", "delivered")
            api.user_says(ADA, "bye")
            said = await api.wait_for_message(ADA, 3)

    assert [m["text"] for m in said] == ["hello, too", wording.NOT_STORED_YET, "you said: bye"]


async def test_the_health_file_says_how_much_waits(
    api: FakeBotApi, bench: Bench, tmp_path: Path
) -> None:
    reply = Message(role="assistant", content="hello", message_id="m/1", turn_id="m")
    SpoolFolder(bench.spool).add(
        Entry(owner="ada", conversation_id=CHAT, turn_id="m", messages=[reply])
    )
    bench.away = True
    with anyio.fail_after(20):
        async with run_in_background(bench, api, health_file=tmp_path / "health"):
            await api.wait_for_call("deleteWebhook")  # so the answer before it was noted

    told = (tmp_path / "health").read_text()
    assert re.fullmatch(r"1 waiting for the store since 20\S+\+00:00, 0 set aside\n", told)


async def test_what_the_store_refuses_later_is_told_once_in_its_chat(
    api: FakeBotApi, bench: Bench
) -> None:
    with anyio.fail_after(20):
        await answer_while_the_store_goes_away(api, bench)
        reply = Message(role="assistant", content="gotcha", message_id="t/1", turn_id=f"{CHAT}:9")
        folder = SpoolFolder(bench.spool)
        for owner, chat in (("bob", BOB), ("bob", ADA), ("ada", STRANGER)):
            folder.add(
                Entry(
                    owner=owner,
                    conversation_id=f"telegram:{chat}",
                    turn_id=f"telegram:{chat}:9",
                    messages=[reply],
                )
            )
        (damaged,) = (bench.spool / key_of("bob", f"telegram:{BOB}")).iterdir()
        damaged.write_bytes(b"damaged")
        await bench.store().delete_conversation(CHAT)
        bench.away = False
        async with run_in_background(bench, api):
            await api.wait_for_message(ADA, 3)
            await api.wait_for_message(BOB)
            while find_untold(bench.spool):  # noqa: ASYNC110 - files tell nobody
                await anyio.sleep(0.01)
        async with run_in_background(bench, api):
            api.user_says(ADA, "another start")
            said = await api.wait_for_message(ADA, 4)

    lost = {why: wording.render_lost(text) for why, text in WHY.items()}
    assert [m["text"] for m in said] == [
        "hello, too",
        wording.NOT_STORED_YET,
        lost["gone"],
        "you said: another start",
    ]
    assert [m["text"] for m in api.messages(BOB)] == [lost["damaged"]]
    assert api.messages(STRANGER) == []
    assert len(folder.survey().aside) == 6


@pytest.mark.slow  # Telegram is asked four times, with pauses
async def test_the_bot_stays_healthy_while_an_update_waits_for_the_store(
    api: FakeBotApi, bench: Bench, tmp_path: Path
) -> None:
    health = tmp_path / "health"
    with anyio.fail_after(20):
        async with run_in_background(bench, api, health_file=health, silence_seconds=1):
            await api.wait_for_call("setMyCommands")
            bench.away = True
            update = api.user_says(ADA, "hello")
            await bench.wait_for_calls("get_conversation")
            for _ in range(2):
                asked = len(api.calls_of("getMe"))
                health.unlink(missing_ok=True)
                await api.wait_for_call("getMe", asked + 1)
                await api.wait_for_call("getMe", asked + 2)  # so the answer before it was noted
                assert health.exists()
            assert api.confirmed <= update["update_id"]
            bench.away = False
            await api.wait_for_message(ADA)


async def test_a_turn_that_cannot_read_its_conversation_is_told_once_and_run_when_that_is_back(
    api: FakeBotApi, bench: Bench
) -> None:
    def lose_history(tool: str, arguments: Mapping[str, Any]) -> bool:
        bench.away |= tool == "append_messages"
        return False

    bench.lose_answer = lose_history
    with anyio.fail_after(20):
        async with run_in_background(bench, api):
            api.user_says(ADA, "hello")
            await api.wait_for_message(ADA)
            bench.lose_answer = lambda tool, arguments: False
            bench.away = False
            said = await api.wait_for_message(ADA, 2)

    assert [m["text"] for m in said] == [wording.STORE_AWAY, "you said: hello"]


@pytest.mark.slow
async def test_who_writes_while_the_store_is_away_is_told_once_that_it_waits(
    api: FakeBotApi, bench: Bench
) -> None:
    with anyio.fail_after(30):
        async with run_in_background(bench, api):
            await api.wait_for_call("setMyCommands")
            bench.away = True
            first = api.user_says(ADA, "hello")
            second = api.user_says(ADA, "hello?")
            await api.wait_for_message(ADA)
            assert api.confirmed <= first["update_id"]
            bench.away = False
            await api.wait_until_confirmed(second)
            said = await api.wait_for_message(ADA, 2)

    answer = "you said: hello + hello?"
    assert [m["text"] for m in said] == [wording.WAITS_AT_TELEGRAM, answer]


@pytest.mark.slow
async def test_a_bot_that_starts_while_the_store_is_away_tells_it_too(
    api: FakeBotApi, bench: Bench
) -> None:
    bench.away = True
    with anyio.fail_after(20):
        async with run_in_background(bench, api):
            update = api.user_says(ADA, "hello")
            (told,) = await api.wait_for_message(ADA)
            assert api.confirmed <= update["update_id"]

    assert told["text"] == wording.WAITS_AT_TELEGRAM


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
