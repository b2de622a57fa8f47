"""Replies meet Telegram's limits, refusals and faults."""

from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from bot import wording
from client.llm.protocol import Completion
from client.llm.scripted import ScriptedModel
from tests.bot.running_bot import ADA, BOB, Bench, run_in_background
from tests.fakes.telegram.bot_api import FakeBotApi, open_bot_api
from tests.fakes.telegram.faults import (
    CONFLICT,
    SERVER_ERROR,
    DropAfter,
    DropBefore,
    Garbage,
    Hang,
    Status,
    too_many_requests,
)

MARK = "(Possibly a repeat) "


def saying(*texts: str) -> ScriptedModel:
    return ScriptedModel([Completion(text=text) for text in texts])


async def test_a_long_reply_comes_in_parts_that_hold_all_of_it(
    api: FakeBotApi, bench: Bench
) -> None:
    words = " ".join(f"word{number}" for number in range(2_000))
    with anyio.fail_after(20):
        async with run_in_background(bench, api, saying(words)):
            api.user_says(ADA, "talk")
            _, reply = await bench.wait_for_states("answered", "delivered")

    parts = api.messages(ADA)
    assert len(parts) == 5
    assert " ".join(part["text"] for part in parts) == words
    assert reply.annotations is not None
    assert reply.annotations["delivery"]["sent"] == [part["message_id"] for part in parts]
    assert api.refusals == []


async def test_markdown_arrives_as_formatting(api: FakeBotApi, bench: Bench) -> None:
    with anyio.fail_after(20):
        async with run_in_background(bench, api, saying("**bold** 😀 `code` List<String>")):
            api.user_says(ADA, "talk")
            (reply,) = await api.wait_for_message(ADA)

    assert reply["text"] == "bold 😀 code List<String>"
    assert [(e["type"], e["offset"], e["length"]) for e in reply["entities"]] == [
        ("bold", 0, 4),
        ("code", 8, 4),
    ]


async def test_refused_formatting_is_sent_plain(api: FakeBotApi, bench: Bench) -> None:
    api.fail_next("sendMessage", Status(400, "Bad Request: can't parse entities"))
    with anyio.fail_after(20):
        async with run_in_background(bench, api, saying("**bold**")):
            api.user_says(ADA, "talk")
            (reply,) = await api.wait_for_message(ADA)

    assert reply["text"] == "bold"
    assert "entities" not in reply


async def test_a_pause_that_telegram_asks_for_is_kept_and_then_the_reply_comes_once(
    api: FakeBotApi, bench: Bench
) -> None:
    api.fail_next("sendMessage", too_many_requests(1))
    with anyio.fail_after(20):
        async with run_in_background(bench, api, saying("one", "two")):
            api.user_says(ADA, "1")
            await bench.wait_for_states("answered", "attempting")
            api.user_says(BOB, "2")
            await api.wait_for_message(BOB)
            assert api.messages(ADA) == []
            await bench.wait_for_states("answered", "delivered")

    assert [m["text"] for m in api.messages(ADA)] == ["one"]


async def test_a_pause_of_hours_leaves_the_reply_for_the_next_start(
    api: FakeBotApi, bench: Bench
) -> None:
    api.fail_next("sendMessage", too_many_requests(7_200))
    with anyio.fail_after(20):
        async with run_in_background(bench, api, saying("one")):
            api.user_says(ADA, "1")
            await bench.wait_for_calls(*["annotate_message"] * 3)
            await bench.wait_for_states("answered", "pending")
        async with run_in_background(bench, api, saying()):
            (reply,) = await api.wait_for_message(ADA)
            await bench.wait_for_states("answered", "delivered")

    assert reply["text"] == "one"


@pytest.mark.slow
@pytest.mark.parametrize("fault", [DropAfter(), DropBefore(), SERVER_ERROR, Garbage()])
async def test_a_reply_that_may_have_arrived_is_repeated_only_with_a_mark(
    api: FakeBotApi, bench: Bench, fault: DropAfter | DropBefore | Status | Garbage
) -> None:
    api.fail_next("sendMessage", fault)
    with anyio.fail_after(20):
        async with run_in_background(bench, api, saying("**one**", "two")):
            api.user_says(ADA, "1")
            await bench.wait_for_states("answered", "delivered")
            api.user_says(ADA, "2")
            await bench.wait_for_states("answered", "delivered", "answered", "delivered")

    texts = [message["text"] for message in api.messages(ADA)]
    arrived = ["one"] if isinstance(fault, DropAfter) else []
    assert texts == [*arrived, f"{MARK}one", "two"]
    marked = api.messages(ADA)[len(arrived)]
    assert marked["entities"] == [{"type": "bold", "offset": len(MARK), "length": 3}]


@pytest.mark.slow
async def test_a_reply_comes_when_telegram_answers_again_however_often_it_did_not(
    api: FakeBotApi, bench: Bench
) -> None:
    def fail_until_asked_often(method: str, parameters: Mapping[str, Any]) -> Status | None:
        asked = len(api.calls_of("getMe"))
        return SERVER_ERROR if method != "getUpdates" and asked < 3 else None

    with anyio.fail_after(40):
        async with run_in_background(bench, api, saying("one")):
            await api.wait_for_call("setMyCommands")
            api.choose_fault = fail_until_asked_often
            api.user_says(ADA, "1")
            await bench.wait_for_states("answered", "delivered")

    assert [message["text"] for message in api.messages(ADA)] == [f"{MARK}one"]


@pytest.mark.slow
async def test_only_the_uncertain_part_of_a_long_reply_is_repeated(
    api: FakeBotApi, bench: Bench
) -> None:
    paragraphs = [letter * 3_000 for letter in "abc"]
    with anyio.fail_after(20):
        async with run_in_background(bench, api, saying("\n\n".join(paragraphs))):
            second = Hang()
            api.fail_next("sendMessage", too_many_requests(0), second)
            api.fail_next("sendMessage", DropAfter())
            second.release.set()
            api.user_says(ADA, "1")
            await bench.wait_for_states("answered", "delivered")

    assert [message["text"] for message in api.messages(ADA)] == [
        paragraphs[0],
        paragraphs[1],
        MARK + paragraphs[1],
        paragraphs[2],
    ]


async def test_a_blocked_bot_ends_the_delivery_and_goes_on(api: FakeBotApi, bench: Bench) -> None:
    with anyio.fail_after(20):
        async with run_in_background(bench, api, saying("to nobody", "to bob")):
            api.user_says(ADA, "bye")
            api.person(ADA).blocks()
            _, reply = await bench.wait_for_states("answered", "undeliverable")
            api.user_says(BOB, "hi")
            await api.wait_for_message(BOB)

    assert reply.annotations is not None
    assert "blocked by the user" in reply.annotations["delivery"]["reason"]
    assert api.messages(ADA) == []


@pytest.mark.slow
async def test_polling_goes_on_after_each_kind_of_trouble(
    api: FakeBotApi, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    api.fail_next("getMe", DropBefore())
    api.fail_next("deleteWebhook", SERVER_ERROR)
    api.fail_next(
        "getUpdates", DropBefore(), DropAfter(), CONFLICT, too_many_requests(0), Garbage()
    )
    with anyio.fail_after(40):
        async with run_in_background(bench, api, saying("still here")):
            api.user_says(ADA, "hello")
            (reply,) = await api.wait_for_message(ADA)

    assert reply["text"] == "still here"
    assert "Another program is polling with this bot token" in caplog.text


@pytest.mark.slow
async def test_the_bot_waits_for_a_network_that_is_down_when_it_starts(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_bot_api("1:x") as gone:
        port = int(gone.base_url.rpartition(":")[2])
    down = FakeBotApi(gone.token)
    down.base_url = gone.base_url
    with anyio.fail_after(20):
        async with run_in_background(bench, down, saying("there you are")):
            while "can't be reached" not in caplog.text:
                await anyio.lowlevel.checkpoint()
            async with open_bot_api(gone.token, port=port) as api:
                api.user_says(ADA, "hello")
                await api.wait_for_message(ADA)


@pytest.mark.slow
async def test_polling_begins_anew_when_nothing_is_heard_of_it(
    api: FakeBotApi, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    dead = Hang()
    api.fail_next("getUpdates", dead)
    with anyio.fail_after(40):
        async with run_in_background(bench, api, saying("heard you"), silence_seconds=2):
            await dead.reached.wait()
            api.user_says(ADA, "hello?")
            (reply,) = await api.wait_for_message(ADA)

    assert reply["text"] == "heard you"
    assert "it begins anew" in caplog.text


@pytest.mark.slow
async def test_a_store_that_is_away_is_no_reason_to_poll_anew(
    api: FakeBotApi, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    with anyio.fail_after(40):
        async with run_in_background(bench, api, saying("one", "two"), silence_seconds=2):
            api.user_says(ADA, "1")
            await api.wait_for_message(ADA)
            bench.away = True
            api.user_says(ADA, "2")
            await anyio.sleep(4)
            bench.away = False
            await api.until(
                lambda: "two" in [message["text"] for message in api.messages(ADA)] or None
            )

    assert "it begins anew" not in caplog.text


async def test_what_breaks_on_the_way_to_the_chat_is_told_there_with_a_reference(
    api: FakeBotApi, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def break_(tool: str, arguments: Mapping[str, Any]) -> bool:
        if tool == "annotate_message":
            raise RuntimeError("what nobody expected")
        return False

    bench.lose_answer = break_
    with anyio.fail_after(20):
        async with run_in_background(bench, api):
            api.user_says(ADA, "hello")
            (told,) = await api.wait_for_message(ADA)
            bench.lose_answer = lambda tool, arguments: False
            api.user_says(ADA, "and now?")
            await api.wait_for_message(ADA, 2)

    sentence, _, reference = told["text"].partition(" (reference ")
    assert sentence == wording.NOT_DONE
    assert f"reference {reference.removesuffix(')')}" in caplog.text
