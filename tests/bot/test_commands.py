"""Commands and their buttons: conversations are changed, named, copied and given out."""

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import anyio
import pytest

from bot import wording
from servers.conversations.contract import Message
from tests.bot.running_bot import ADA, BOB, CHAT, Bench, run_in_background
from tests.fakes.telegram.bot_api import FakeBotApi


async def say(api: FakeBotApi, text: str, person: int = ADA) -> dict[str, Any]:
    """Write to the bot; what it sends next, as it stands when it does."""
    before = len(api.messages(person))
    api.user_says(person, text)
    return deepcopy((await api.wait_for_message(person, before + 1))[before])


async def test_a_new_conversation_knows_nothing_of_the_one_before_and_undo_goes_back(
    api: FakeBotApi, bench: Bench
) -> None:
    with anyio.fail_after(30):
        async with run_in_background(bench, api):
            await say(api, "one")
            assert (await say(api, "/new"))["text"] == wording.RESET_DONE
            await say(api, "two")
            back = await say(api, "/undo")
            await say(api, "three")
            await bench.wait_for_states(*["answered", "delivered"] * 2)
        async with run_in_background(bench, api):  # it is known after a restart, too
            await say(api, "four")
            first = await bench.wait_for_states(*["answered", "delivered"] * 3)

    assert back["text"].endswith("you said: one")
    assert [m.text() for m in first if m.role == "user"] == ["one", "three", "four"]


async def test_there_is_nothing_to_undo_at_first(api: FakeBotApi, bench: Bench) -> None:
    with anyio.fail_after(20):
        async with run_in_background(bench, api):
            assert (await say(api, "/undo"))["text"] == wording.NOTHING_TO_UNDO


async def test_a_button_leads_to_a_conversation_begun_elsewhere(
    api: FakeBotApi, bench: Bench
) -> None:
    long_id = "desk/" + "x" * 900
    await bench.store().append_messages(long_id, [Message(role="user", content="from the desk")])
    await bench.store("bob").append_messages("his", [Message(role="user", content="secret")])
    with anyio.fail_after(30):
        async with run_in_background(bench, api):
            listed = await say(api, "/conversations")
            assert labels(listed) == ["from the desk"]
            api.person(ADA).presses(listed, "from the desk")
            await api.wait_for_call("editMessageText")
            await say(api, "from the phone")
            with anyio.fail_after(10):
                messages = await bench.wait_for_states(
                    "", "answered", "delivered", conversation_id=long_id
                )

    (changed, _) = api.messages(ADA)
    assert changed["text"].endswith("from the desk")
    assert labels(changed) == [wording.RENAME, wording.COPY, wording.AS_FILE]
    assert [m.text() for m in messages][:2] == ["from the desk", "from the phone"]


async def test_buttons_that_are_forged_or_of_others_lead_nowhere(
    api: FakeBotApi, bench: Bench
) -> None:
    await bench.store("bob").append_messages("his", [Message(role="user", content="secret")])
    with anyio.fail_after(30):
        async with run_in_background(bench, api):
            hers = await say(api, "hello")
            his = await say(api, "/conversations", BOB)
            data = his["reply_markup"]["inline_keyboard"][0][0]["callback_data"]
            forged = [data, "to:", "to:" + "A" * 20, "more:", "more:-1", "more:²", "x" * 64]
            for one in forged:
                api.person(ADA).presses_data(hers, one)
            api.person(BOB).presses_data(hers, "more:0")  # below a message in her chat
            calls = await api.wait_for_call("answerCallbackQuery", len(forged))
            await say(api, "still here")
            await bench.wait_for_states(*["answered", "delivered"] * 2)

    assert {call.parameters["text"] for call in calls} == {wording.BUTTON_IS_OLD}
    assert api.calls_of("editMessageText") == []
    assert all("secret" not in message["text"] for message in api.messages(ADA))


async def test_more_conversations_are_shown_a_page_at_a_time(api: FakeBotApi, bench: Bench) -> None:
    for number in range(10):
        message = Message(role="user", content=f"talk {number}")
        await bench.store().append_messages(f"c{number}", [message])
    with anyio.fail_after(30):
        async with run_in_background(bench, api):
            listed = await say(api, "/conversations")
            api.person(ADA).presses(listed, wording.MORE)
            await api.wait_for_call("editMessageText")

    assert labels(listed) == [*(f"talk {n}" for n in range(9, 1, -1)), wording.MORE]
    assert labels(api.messages(ADA)[0]) == ["talk 1", "talk 0"]


async def test_words_are_found_and_a_press_goes_there(api: FakeBotApi, bench: Bench) -> None:
    await bench.store().append_messages("a", [Message(role="user", content="the tall giraffe")])
    with anyio.fail_after(30):
        async with run_in_background(bench, api):
            found = await say(api, "/conversations giraffe")
            nothing = await say(api, '/conversations zebra AND ( " NEAR')
            api.person(ADA).presses(found, "1")
            await api.wait_for_call("editMessageText")

    assert "the tall giraffe" in found["text"]
    assert [e["type"] for e in found["entities"]] == ["bold"]
    assert nothing["text"] == wording.NOTHING_FOUND


async def test_a_conversation_is_named_copied_and_given_out(api: FakeBotApi, bench: Bench) -> None:
    with anyio.fail_after(30):
        async with run_in_background(bench, api):
            assert (await say(api, "/fork"))["text"] == wording.NOTHING_HERE
            assert (await say(api, "/export"))["text"] == wording.NOTHING_HERE
            await say(api, "one")
            assert (await say(api, "/rename"))["text"] == wording.RENAME_HOW
            await say(api, "/rename My *trip*")
            await say(api, "/fork")
            await say(api, "two")
            assert (await say(api, "/export pdf"))["text"] == wording.EXPORT_HOW
            readable = await say(api, "/export")
            whole = await say(api, "/export json")
            listed = await say(api, "/conversations")

    assert labels(listed)[0].startswith("• ")
    assert "My *trip*" in labels(listed)[1]
    assert readable["document"]["file_name"] == "conversation.md"
    document = json.loads(download(api, whole))
    assert [m["content"] for m in document["messages"]] == [
        "one",
        "you said: one",
        "two",
        "you said: two",
    ]
    assert b"you said: two" in download(api, readable)


@pytest.mark.slow  # two changes by one message are a second apart
async def test_below_a_conversation_are_buttons_that_name_copy_and_give_it_out(
    api: FakeBotApi, bench: Bench
) -> None:
    await bench.store().append_messages("desk", [Message(role="user", content="at the desk")])
    await bench.store().update_conversation("desk", title="Desk")
    ada = api.person(ADA)
    with anyio.fail_after(30):
        async with run_in_background(bench, api):
            listed = await say(api, "/conversations")
            ada.presses(listed, "Desk")
            await api.wait_for_call("editMessageText")
            (changed,) = api.messages(ADA)
            assert changed["text"] == "What you write now belongs to this conversation: Desk"
            ada.presses(changed, wording.AS_FILE)
            _, file = await api.wait_for_message(ADA, 2)
            ada.presses(changed, wording.RENAME)
            *_, how = await api.wait_for_message(ADA, 3)
            await say(api, "/rename Garden")
            ada.presses(changed, wording.COPY)
            *_, copied = await api.wait_for_message(ADA, 5)
            await say(api, "in the copy")
            listed = (await bench.store().list_conversations()).conversations

    assert b"at the desk" in download(api, file)
    assert how["text"] == f"{changed['text']}\n\n{wording.RENAME_HOW}"
    assert copied["text"] == wording.FORKED
    by_size = {each.message_count: each for each in listed if each.message_count}
    assert by_size[1].title == by_size[3].title == "Garden"
    assert by_size[1].conversation_id == "desk"
    assert api.refusals == []


async def test_what_there_is_and_was_used_is_told(api: FakeBotApi, bench: Bench) -> None:
    with anyio.fail_after(30):
        async with run_in_background(bench, api):
            await say(api, "hello")
            usage = await say(api, "/usage")
            me = await say(api, "/id")
            tools = await say(api, "/tools")
            model = await say(api, "/model")

    assert usage["text"].startswith("This conversation has 2 messages.")
    assert me["text"] == wording.render_id(ADA, "ada", CHAT)
    assert tools["text"] == wording.render_tools([])
    assert model["text"] == wording.render_model("scripted/script")


@pytest.mark.slow
async def test_what_is_not_done_is_told_with_a_reference_that_the_log_has_too(
    api: FakeBotApi, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def break_(tool: str, arguments: Mapping[str, Any]) -> bool:
        if tool == "get_conversation":
            raise RuntimeError("what nobody expected")
        return False

    with anyio.fail_after(30):
        async with run_in_background(bench, api):
            await say(api, "hello")
            bench.away = True
            away = await say(api, "/usage")
            bench.away, bench.lose_answer = False, break_
            broken = await say(api, "/usage")
            bench.lose_answer = lambda tool, arguments: False
            assert "2 messages" in (await say(api, "/usage"))["text"]

    for message, sentence in ((away, wording.COMMAND_NOT_DONE), (broken, wording.BROKEN)):
        said, _, reference = message["text"].partition(" (reference ")
        told = re.fullmatch(r"([0-9a-f]{8})\)", reference)
        assert said == sentence
        assert told is not None
        assert f"reference {told[1]}" in caplog.text


async def test_a_button_whose_wish_is_not_done_says_so_with_a_reference(
    api: FakeBotApi, bench: Bench
) -> None:
    with anyio.fail_after(30):
        async with run_in_background(bench, api):
            await say(api, "hello")
            shown = await say(api, "/conversations")
            bench.away = True
            api.person(ADA).presses(shown, labels(shown)[0])
            answer = (await api.wait_for_message(ADA, 3))[-1]

    assert answer["text"].startswith(f"{wording.COMMAND_NOT_DONE} (reference ")


def labels(message: dict[str, Any]) -> list[str]:
    """The words on a message's buttons."""
    return [button["text"] for row in message["reply_markup"]["inline_keyboard"] for button in row]


def download(api: FakeBotApi, message: dict[str, Any]) -> bytes:
    """The file that a message brings."""
    known = api.files.get_file({"file_id": message["document"]["file_id"]})
    file = api.files.at_path(known["file_path"])
    assert file is not None
    return file.data
