"""What nobody would think of sending, and chats that are none of the bot's."""

from typing import Any

import anyio
import pytest

from bot import wording
from servers.conversations.contract import Message
from tests.bot.running_bot import ADA, BOB, Bench, run_in_background
from tests.bot.test_commands import labels
from tests.fakes.telegram.bot_api import FakeBotApi
from tests.fakes.telegram.faults import Status

GROUP, CHANNEL = -100, -200
FILE = {"file_id": "f", "file_unique_id": "f"}
STICKER = {**FILE, "type": "regular", "width": 9, "height": 9, "is_animated": False}
POLL = {
    "id": "1",
    "question": "Tea?",
    "options": [{"persistent_id": "1", "text": "Yes", "voter_count": 0}],
    "total_voter_count": 0,
    "is_closed": False,
    "is_anonymous": True,
    "type": "regular",
    "allows_multiple_answers": False,
    "allows_revoting": False,
    "members_only": False,
}
ODD: dict[str, dict[str, Any]] = {
    "a sticker": {"sticker": {**STICKER, "is_video": False}},
    "a poll": {"poll": POLL},
    "a location": {"location": {"latitude": 48.2, "longitude": 16.4}},
    "a contact": {"contact": {"phone_number": "1", "first_name": "Eve"}},
    "a message of a kind I don't know": {"poll": {"question": "as an older Telegram has it"}},
}


@pytest.mark.parametrize("kind", ODD)
async def test_what_is_no_text_is_said_to_be_for_later(
    api: FakeBotApi, bench: Bench, kind: str
) -> None:
    with anyio.fail_after(20):
        async with run_in_background(bench, api):
            api.user_sends(ADA, **ODD[kind])
            (answer,) = await api.wait_for_message(ADA)

    assert answer["text"] == wording.render_attachment(kind, "")


@pytest.mark.parametrize(
    "text",
    ["😀" * 2_048, "👩‍👩‍👧‍👦" * 372, "\u200b\u200b", "\u202eמה שלומך\u202c", "ﷺ" * 4_096],
    ids=["emoji", "joined emoji", "zero width", "right to left", "wide"],
)
async def test_any_text_is_kept_and_answered_whole(
    api: FakeBotApi, bench: Bench, text: str
) -> None:
    with anyio.fail_after(20):
        async with run_in_background(bench, api, more_seconds=0):
            api.user_says(ADA, text)
            question, _ = await bench.wait_for_states("answered", "delivered")
            said = "".join(message["text"] for message in api.messages(ADA))

    assert question.content == text
    assert text.strip("\u200b\u202e\u202c") in said
    assert api.refusals == []


async def test_a_button_of_a_message_that_is_gone_still_does_what_it_says(
    api: FakeBotApi, bench: Bench
) -> None:
    await bench.store().append_messages("old", [Message(role="user", content="old times")])
    with anyio.fail_after(20):
        async with run_in_background(bench, api):
            api.user_says(ADA, "/conversations")
            (listed,) = await api.wait_for_message(ADA)
            data = listed["reply_markup"]["inline_keyboard"][0][0]["callback_data"]
            assert labels(listed) == ["old times"]
            del api.chats.get_or_make(ADA).messages[listed["message_id"]]
            api.person(ADA).presses_data(listed, data)
            (changed,) = await api.wait_for_message(ADA)
            api.person(ADA).presses_data(listed, "stop:1")
            *_, old = await api.wait_for_call("answerCallbackQuery", 2)

    assert changed["text"] == wording.render_changed(None, "old times")
    assert old.parameters["text"] == wording.BUTTON_IS_OLD


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (403, "Forbidden: user is deactivated"),
        (400, "Bad Request: not enough rights to send text messages to the chat"),
        (400, "Bad Request: chat not found"),
    ],
)
async def test_where_it_may_not_write_the_delivery_ends_and_others_go_on(
    api: FakeBotApi, bench: Bench, status: int, reason: str
) -> None:
    api.fail_next("sendMessage", Status(status, reason))
    with anyio.fail_after(20):
        async with run_in_background(bench, api):
            api.user_says(ADA, "hello")
            _, reply = await bench.wait_for_states("answered", "undeliverable")
            api.user_says(BOB, "hello")
            await api.wait_for_message(BOB)

    assert (
        reason.partition(": ")[2].lower() in (reply.annotations or {})["delivery"]["reason"].lower()
    )


async def test_groups_their_topics_and_channels_are_left_alone(
    api: FakeBotApi, bench: Bench
) -> None:
    topic = {"is_topic_message": True, "message_thread_id": 7}
    ada = api.person(ADA).to_json()
    channel = {"id": CHANNEL, "type": "channel", "title": "News"}
    post: dict[str, Any] = {"message_id": 1, "date": 1, "chat": channel, "text": "/start"}
    with anyio.fail_after(20):
        async with run_in_background(bench, api):
            api.person(ADA).kicks(GROUP)
            api.user_says(GROUP, "/start@agentic_bot", user_id=ADA)
            said = api.user_says(GROUP, "/new", user_id=ADA, **topic)
            api.user_sends(GROUP, user_id=ADA, new_chat_members=[ada])
            api.user_says(GROUP, "as the group", user_id=ADA, sender_chat=said["message"]["chat"])
            api.person(ADA).presses_data(said["message"], "more:0")
            api.person(ADA).reacts(said["message"], "👍")
            api.happens({"channel_post": post})
            api.user_says(ADA, "hello")
            await bench.wait_for_states("answered", "delivered")

    written = {call.parameters["chat_id"] for call in api.calls if "chat_id" in call.parameters}
    assert written == {ADA}
    assert len((await bench.store().list_conversations()).conversations) == 1


async def test_an_update_that_nothing_can_be_made_of_stops_no_other(
    api: FakeBotApi, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    with anyio.fail_after(20):
        async with run_in_background(bench, api):
            api.happens({"callback_query": {"id": "1"}})
            api.user_says(ADA, "hello")
            await api.wait_for_message(ADA)

    assert "An update could not be read as it is" in caplog.text


@pytest.mark.slow  # three attempts, with pauses
async def test_resend_sends_what_nobody_knows_to_have_arrived(
    api: FakeBotApi, bench: Bench
) -> None:
    api.fail_next("sendMessage", *[Status(502, "Bad Gateway")] * 3)
    with anyio.fail_after(30):
        async with run_in_background(bench, api):
            api.user_says(ADA, "hello")
            api.user_says(ADA, "/resend")
            await bench.wait_for_states("answered", "delivered")
            api.user_says(ADA, "/resend")
            first, again = await api.wait_for_message(ADA, 2)

    assert first["text"] == "(Possibly a repeat) you said: hello"
    assert again["text"] == "you said: hello"
