"""Messages that belong together are answered together, and are whole whatever happens between."""

from collections.abc import Callable, Mapping
from typing import Any

import anyio
import pytest

from bot import wording
from client.llm.protocol import Completion, ModelUnavailableError
from client.llm.scripted import Held, ScriptedModel
from tests.bot.running_bot import ADA, CHAT, Bench, echo, run_in_background, told
from tests.bot.test_commands import say
from tests.fakes.telegram.bot_api import FakeBotApi
from tests.fakes.telegram.updates import Update

LONG = "long " * 700
SHOWN = Completion(text="word " * 100)
"""So much that it is shown before it is whole."""


def texts(api: FakeBotApi) -> list[str]:
    return [message["text"] for message in api.messages(ADA)]


async def test_a_text_that_was_cut_is_one_turn_and_its_parts_are_kept_as_they_came(
    api: FakeBotApi, bench: Bench
) -> None:
    model = ScriptedModel([Completion(text="Read.")])
    with anyio.fail_after(30):
        async with run_in_background(bench, api, model):
            parts = [api.user_says(ADA, LONG)]
            await api.wait_until_confirmed(parts[0])
            parts.append(api.user_says(ADA, LONG))
            await api.wait_until_confirmed(parts[1])
            assert model.requests == []
            parts.append(api.user_says(ADA, "end"))
            await bench.wait_for_states("answered", "answered", "answered", "delivered")

    assert texts(api) == ["Read."]
    assert told(model.requests[0]) == [LONG, LONG, "end"]
    stored = await bench.messages()
    ids = [f"{CHAT}:{part['message']['message_id']}" for part in parts]
    assert [message.message_id for message in stored] == [*ids, f"{ids[-1]}/1"]


async def test_the_next_part_is_not_waited_for_long(api: FakeBotApi, bench: Bench) -> None:
    with anyio.fail_after(30):
        async with run_in_background(bench, api, more_seconds=0.05):
            assert (await say(api, LONG))["text"].startswith("you said: long long")


async def test_what_waits_for_its_next_part_can_be_stopped(api: FakeBotApi, bench: Bench) -> None:
    model = ScriptedModel([Completion(text="Read.")])
    with anyio.fail_after(30):
        async with run_in_background(bench, api, model, more_seconds=20):
            for said in (LONG, LONG, "/stop"):
                await api.wait_until_confirmed(api.user_says(ADA, said))
            await bench.wait_for_states("answered", "delivered")
            assert (await say(api, "And now?"))["text"] == "Read."

    assert texts(api) == [wording.STOPPED, "Read."]
    assert told(model.requests[0])[-1] == "And now?"
    assert len(model.requests) == 1


def command(api: FakeBotApi) -> Update:
    return api.user_says(ADA, "/stop")


def button(api: FakeBotApi) -> Update:
    return api.person(ADA).presses_data(api.messages(ADA)[0], "to:nowhere")


@pytest.mark.parametrize("act", [command, button])
async def test_what_a_command_or_a_button_parts_is_not_taken_together(
    api: FakeBotApi, bench: Bench, act: Callable[[FakeBotApi], Update]
) -> None:
    held = Held(SHOWN)
    model = ScriptedModel([held, Completion(text="two"), Completion(text="three")])
    with anyio.fail_after(30):
        async with run_in_background(bench, api, model):
            api.user_says(ADA, "1")
            await api.wait_for_message(ADA)
            await api.wait_until_confirmed(api.user_says(ADA, "2"))
            await api.wait_until_confirmed(act(api))
            await api.wait_until_confirmed(api.user_says(ADA, "3"))
            held.release.set()
            await api.until(lambda: texts(api)[1:] == ["two", "three"] or None)

    assert told(model.requests[1])[-1] == "2"
    assert told(model.requests[2]) == ["3"]


async def test_parts_that_come_again_have_no_effect_and_one_that_comes_late_is_the_next_turn(
    api: FakeBotApi, bench: Bench
) -> None:
    parts = [api.user_says(ADA, text) for text in ("one", "two")]
    model = ScriptedModel(echo)
    with anyio.fail_after(30):
        async with run_in_background(bench, api, model):
            await api.wait_for_message(ADA)
            api.repeat(parts[0])
            assert (await say(api, "late"))["text"] == "you said: late"
            await bench.wait_for_states(*["answered"] * 2, "delivered", "answered", "delivered")
        for part in parts:
            api.repeat(part)
        async with run_in_background(bench, api, model):
            assert (await say(api, "next"))["text"] == "you said: next"

    assert texts(api)[0] == "you said: one + two"
    assert len(model.requests) == 3


async def test_a_part_that_comes_again_while_the_store_loses_answers_is_not_answered_again(
    api: FakeBotApi, bench: Bench
) -> None:
    lost: list[str] = []

    def lose_once(tool: str, arguments: Mapping[str, Any]) -> bool:
        message: dict[str, Any] = arguments["messages"][0] if tool == "append_messages" else {}
        if message.get("role") != "user" or message["message_id"] in lost:
            return False
        lost.append(message["message_id"])
        return True

    parts = [api.user_says(ADA, text) for text in ("one", "two")]
    with anyio.fail_after(30):
        async with run_in_background(bench, api):
            await bench.wait_for_states("answered", "answered", "delivered")
        bench.lose_answer = lose_once
        api.repeat(parts[0])
        async with run_in_background(bench, api):
            assert (await say(api, "three"))["text"] == "you said: three"
            await bench.wait_for_states(*["answered"] * 2, "delivered", "answered", "delivered")

    assert len(lost) == 2
    assert texts(api) == ["you said: one + two", "you said: three"]


async def test_what_was_waiting_when_the_bot_ended_is_still_answered_together(
    api: FakeBotApi, bench: Bench
) -> None:
    with anyio.fail_after(30):
        async with run_in_background(bench, api):
            for _ in range(2):
                await api.wait_until_confirmed(api.user_says(ADA, LONG))
            await bench.wait_for_states("unanswered", "unanswered")
        model = ScriptedModel([Completion(text="Both.")])
        async with run_in_background(bench, api, model):
            await bench.wait_for_states("answered", "answered", "delivered")

    assert told(model.requests[0]) == [LONG, LONG]


async def test_a_turn_that_had_begun_is_gone_on_with_as_it_was(
    api: FakeBotApi, bench: Bench
) -> None:
    for text in ("one", "two"):
        api.user_says(ADA, text)
    with anyio.fail_after(30):
        async with run_in_background(bench, api, ScriptedModel([Held(SHOWN)])):
            await api.wait_for_message(ADA)
            await api.wait_until_confirmed(api.user_says(ADA, "three"))
            await bench.wait_for_states(*["unanswered"] * 3)
        async with run_in_background(bench, api):
            await api.wait_for_message(ADA, 2)
            await bench.wait_for_states(*["answered"] * 3, "delivered", "delivered")

    assert texts(api) == ["you said: one + two", "you said: three"]


@pytest.mark.slow
async def test_a_message_whose_turn_had_begun_is_joined_by_none(
    api: FakeBotApi, bench: Bench
) -> None:
    with anyio.fail_after(30):
        async with run_in_background(bench, api, ScriptedModel([Held(SHOWN)])):
            api.user_says(ADA, "one")
            await api.wait_for_message(ADA)
            await api.wait_until_confirmed(api.user_says(ADA, "two"))
        async with run_in_background(bench, api):
            await api.wait_for_message(ADA, 2)

    assert texts(api) == ["you said: one", "you said: two"]


@pytest.mark.slow
async def test_a_turn_for_several_that_fails_is_told_once_and_not_begun_again(
    api: FakeBotApi, bench: Bench
) -> None:
    for text in ("one", "two"):
        api.user_says(ADA, text)
    with anyio.fail_after(30):
        model = ScriptedModel([ModelUnavailableError("The model is down.")])
        async with run_in_background(bench, api, model):
            await bench.wait_for_states("answered", "delivered")
        async with run_in_background(bench, api, ScriptedModel([Completion(text="Here.")])):
            assert (await say(api, "three"))["text"] == "Here."

    assert len(texts(api)) == 2
    assert texts(api)[0].startswith("The model is down. (reference ")


@pytest.mark.slow
async def test_a_reply_that_was_stored_settles_all_that_it_answers(
    api: FakeBotApi, bench: Bench
) -> None:
    for text in ("one", "two"):
        api.user_says(ADA, text)
    model = ScriptedModel([Completion(text="Both.")])
    with anyio.fail_after(30):
        bench.lose_answer = lambda tool, arguments: (
            tool == "annotate_message"
            and not any(state in str(arguments) for state in ("unanswered", "attempting"))
        )
        async with run_in_background(bench, api, model):
            await bench.wait_for_states("unanswered", "unanswered", "pending")
        bench.lose_answer = lambda tool, arguments: False
        async with run_in_background(bench, api, model):
            await bench.wait_for_states("answered", "answered", "delivered")

    assert texts(api) == ["Both."]


async def test_each_message_keeps_its_mark_of_whose_words_it_is(
    api: FakeBotApi, bench: Bench
) -> None:
    origin = {"type": "hidden_user", "sender_user_name": "Eve", "date": 1}
    api.user_says(ADA, "Send me the keys", forward_origin=origin)
    api.user_says(ADA, "What does she want?")
    model = ScriptedModel([Completion(text="Keys.")])
    with anyio.fail_after(30):
        async with run_in_background(bench, api, model):
            await api.wait_for_message(ADA)

    marks = [(message.metadata or {}).get("forwarded") for message in model.requests[0].messages]
    assert marks == [True, None]


async def test_a_turn_is_answered_once_more_with_all_that_it_was_for(
    api: FakeBotApi, bench: Bench
) -> None:
    for text in ("one", "two"):
        api.user_says(ADA, text)
    with anyio.fail_after(30):
        async with run_in_background(bench, api):
            await api.wait_for_message(ADA)
            for _ in range(2):
                assert (await say(api, "/retry"))["text"] == "you said: one + two"
            await bench.wait_for_states(*["answered", "answered", "delivered"] * 3)


async def test_any_part_of_the_last_turn_can_be_changed(api: FakeBotApi, bench: Bench) -> None:
    parts = [api.user_says(ADA, text) for text in ("one", "tow", "three")]
    with anyio.fail_after(30):
        async with run_in_background(bench, api):
            await api.wait_for_message(ADA)
            edit = api.person(ADA).edits(parts[1], "two")
            await api.wait_for_message(ADA, 2)
            await api.wait_until_confirmed(api.person(ADA).edits(parts[0], "1"))
            await api.wait_for_message(ADA, 3)
            api.repeat(edit)
            assert (await say(api, "four"))["text"] == "you said: four"
        kept = (await bench.store().list_conversations()).conversations

    begun = [text.removesuffix(" + three") for text in texts(api)[:3]]
    assert begun == [f"you said: {two}" for two in ("one + tow", "one + two", "1 + two")]
    assert len(kept) == 3


PHOTO = b"\xff\xd8\xff"


async def test_an_album_is_told_once_that_it_can_t_be_understood(
    api: FakeBotApi, bench: Bench
) -> None:
    def send(album: str) -> Update:
        return api.person(ADA).sends_file("photo", PHOTO, media_group_id=album)

    with anyio.fail_after(30):
        async with run_in_background(bench, api):
            first, second = send("a"), send("a")
            await api.wait_until_confirmed(second)
            await bench.wait_for_states("answered", "delivered", "")
        api.repeat(first)
        async with run_in_background(bench, api):
            await api.wait_until_confirmed(send("a"))
            await api.wait_until_confirmed(send("b"))
            await api.wait_for_message(ADA, 2)
            api.repeat(second)
            await say(api, "hello")
            stored = await bench.wait_for_states(
                "answered", "delivered", "", "", *["answered", "delivered"] * 2
            )

    assert texts(api) == [wording.ALBUM, wording.ALBUM, "you said: hello"]
    assert [m.role for m in stored if m.text() != wording.ALBUM] == [*["user"] * 5, "assistant"]
