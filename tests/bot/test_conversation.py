"""People talk to the bot: from the update to the stored and delivered reply."""

from typing import Any

import anyio
import pytest

from bot import wording
from client.llm.protocol import Completion, ModelUnavailableError
from client.llm.scripted import Held, ScriptedModel
from tests.bot.running_bot import (
    ADA,
    BOB,
    CHAT,
    STRANGER,
    Bench,
    echo,
    run_in_background,
)
from tests.fakes.telegram.bot_api import FakeBotApi
from tests.fakes.telegram.faults import Reversed


async def test_an_update_is_stored_answered_and_its_delivery_kept(
    api: FakeBotApi, bench: Bench
) -> None:
    with anyio.fail_after(20):
        async with run_in_background(bench, api):
            update = api.user_says(ADA, "hello")
            (sent,) = await api.wait_for_message(ADA)
            await api.wait_until_confirmed(update)
            question, reply = await bench.wait_for_states("answered", "delivered")

    assert sent["text"] == "you said: hello"
    assert question.message_id == f"telegram:42:{update['message']['message_id']}"
    assert (question.role, question.content) == ("user", "hello")
    assert (reply.role, reply.content, reply.turn_id) == (
        "assistant",
        "you said: hello",
        question.message_id,
    )
    assert reply.annotations is not None
    assert reply.annotations["delivery"]["sent"] == [sent["message_id"]]
    assert api.calls_of("sendChatAction")[0].parameters == {"chat_id": ADA, "action": "typing"}
    assert {command["command"] for command in api.commands} == {*wording.COMMANDS}
    assert api.refusals == []


async def test_a_turn_costs_three_calls_for_delivery_beside_its_own(
    api: FakeBotApi, bench: Bench
) -> None:
    with anyio.fail_after(20):
        async with run_in_background(bench, api):
            api.user_says(ADA, "first")  # also finds the chat's conversation
            await bench.wait_for_states("answered", "delivered")
            bench.calls.clear()
            api.user_says(ADA, "second")
            await bench.wait_for_states("answered", "delivered", "answered", "delivered")

    assert bench.calls.count("annotate_message") == 3
    assert len(bench.calls) == 6


async def test_an_update_that_comes_twice_has_one_effect(api: FakeBotApi, bench: Bench) -> None:
    model = ScriptedModel(echo)
    with anyio.fail_after(20):
        async with run_in_background(bench, api, model):
            texts = [api.user_says(ADA, "hello"), api.user_says(ADA, "/help")]
            await api.wait_for_message(ADA, 2)
            for update in texts:
                await api.wait_until_confirmed(update)
                api.repeat(update)
                api.happens({"message": update["message"]})  # the same under another id
            last = api.user_says(ADA, "last")
            await api.wait_until_confirmed(last)
            await api.wait_for_message(ADA, 3)
            await bench.wait_for_states("answered", "delivered", "answered", "delivered")

    assert [m["text"] for m in api.messages(ADA)][::2] == ["you said: hello", "you said: last"]
    assert len(model.requests) == 2


async def test_updates_in_disorder_are_taken_in_as_they_were_written(
    api: FakeBotApi, bench: Bench
) -> None:
    for text in ("one", "two", "three"):
        api.user_says(ADA, text)
    api.fail_next("getUpdates", Reversed())
    with anyio.fail_after(20):
        async with run_in_background(bench, api):
            (reply,) = await api.wait_for_message(ADA)

    assert reply["text"] == "you said: one + two + three"


async def test_an_update_that_comes_again_after_a_restart_has_no_effect(
    api: FakeBotApi, bench: Bench
) -> None:
    model = ScriptedModel(echo)
    with anyio.fail_after(20):
        async with run_in_background(bench, api, model):
            update = api.user_says(ADA, "hello")
            await bench.wait_for_states("answered", "delivered")
        api.repeat(update)
        async with run_in_background(bench, api, model):
            api.user_says(ADA, "next")
            await api.wait_for_message(ADA, 2)

    assert [m["text"] for m in api.messages(ADA)] == ["you said: hello", "you said: next"]
    assert len(model.requests) == 2


async def test_messages_sent_while_it_is_busy_are_stored_and_then_answered_together(
    api: FakeBotApi, bench: Bench
) -> None:
    first = Held(Completion(text="one"))
    model = ScriptedModel([first, Completion(text="two and three")])
    with anyio.fail_after(20):
        async with run_in_background(bench, api, model):
            api.user_says(ADA, "1")
            await first.reached.wait()
            api.user_says(ADA, "2")
            third = api.user_says(ADA, "3")
            await api.wait_until_confirmed(third)
            await bench.wait_for_states("unanswered", "unanswered", "unanswered")
            first.release.set()
            replies = await api.wait_for_message(ADA, 2)
            await bench.wait_for_states(*["answered"] * 3, "delivered", "delivered")

    assert [message["text"] for message in replies] == ["one", "two and three"]
    assert [m.text() for m in model.requests[1].messages] == ["1", "one", "2", "3"]
    quoted = [call.parameters.get("reply_parameters") for call in api.calls_of("sendMessage")]
    assert [q and q["message_id"] for q in quoted] == [
        None,
        third["message"]["message_id"],
    ]


async def test_the_model_does_not_see_a_waiting_message_before_its_turn(
    api: FakeBotApi, bench: Bench
) -> None:
    first, second = Held(Completion(text="one")), Held(Completion(text="two"))
    model = ScriptedModel([first, second, Completion(text="three")])
    with anyio.fail_after(20):
        async with run_in_background(bench, api, model):
            api.user_says(ADA, "1")
            await first.reached.wait()
            await api.wait_until_confirmed(api.user_says(ADA, "2"))
            first.release.set()
            await second.reached.wait()
            await api.wait_until_confirmed(api.user_says(ADA, "3"))
            second.release.set()
            await api.wait_for_message(ADA, 3)

    shown = [[m.text() for m in request.messages] for request in model.requests]
    assert shown == [["1"], ["1", "one", "2"], ["1", "one", "2", "two", "3"]]


async def test_two_chats_are_answered_at_the_same_time(api: FakeBotApi, bench: Bench) -> None:
    held = {"1": Held(Completion(text="for ada")), "2": Held(Completion(text="for bob"))}
    steps: list[Any] = [held["1"], held["2"]]
    with anyio.fail_after(20):
        async with run_in_background(bench, api, ScriptedModel(steps)):
            api.user_says(ADA, "hi")
            await held["1"].reached.wait()
            api.user_says(BOB, "hi")
            await held["2"].reached.wait()
            held["2"].release.set()
            (to_bob,) = await api.wait_for_message(BOB)
            assert api.messages(ADA) == []
            held["1"].release.set()
            (to_ada,) = await api.wait_for_message(ADA)

    assert (to_ada["text"], to_bob["text"]) == ("for ada", "for bob")
    assert [m.content for m in await bench.messages("telegram:43", "bob")] == ["hi", "for bob"]
    assert await bench.messages("telegram:43", "ada") == []


@pytest.mark.slow
async def test_typing_is_shown_again_while_a_turn_runs(api: FakeBotApi, bench: Bench) -> None:
    held = Held(Completion(text="at last"))
    with anyio.fail_after(20):
        async with run_in_background(bench, api, ScriptedModel([held])):
            api.user_says(ADA, "hi")
            await api.wait_for_call("sendChatAction", 2)
            held.release.set()
            await api.wait_for_message(ADA)


async def test_reset_begins_a_new_conversation_and_keeps_the_old_one_over_restarts(
    api: FakeBotApi, bench: Bench
) -> None:
    model = ScriptedModel(echo)
    with anyio.fail_after(20):
        async with run_in_background(bench, api, model):
            api.user_says(ADA, "old")
            await api.wait_for_message(ADA, 1)
            reset = api.user_says(ADA, "/reset")
            await api.wait_for_message(ADA, 2)
            api.user_says(ADA, "new")
            begun = f"telegram:42:{reset['message']['date']}.{reset['message']['message_id']}"
            await bench.wait_for_states("answered", "delivered", conversation_id=begun)
        api.repeat(reset)
        async with run_in_background(bench, api, model):
            api.user_says(ADA, "newer")
            await api.wait_for_message(ADA, 4)

    assert [m.text() for m in model.requests[1].messages] == ["new"]
    assert [m.text() for m in model.requests[2].messages] == ["new", "you said: new", "newer"]
    assert [m.content for m in await bench.messages()] == ["old", "you said: old"]
    conversations = (await bench.store().list_conversations()).conversations
    assert {c.conversation_id for c in conversations} == {CHAT, begun}


async def test_reset_before_anything_was_said_is_answered(api: FakeBotApi, bench: Bench) -> None:
    with anyio.fail_after(20):
        async with run_in_background(bench, api):
            api.user_says(ADA, "/reset")
            api.user_says(ADA, "hello")
            replies = await api.wait_for_message(ADA, 2)

    assert "new conversation" in replies[0]["text"]
    assert [m.content for m in await bench.messages()] == ["hello", "you said: hello"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/start", "Hello Ada!"),
        ("/help@agentic_bot", "/new: begin a new conversation"),
        ("/nonsense with words", "There is no command /nonsense."),
    ],
)
async def test_a_command_is_answered_without_the_model(
    api: FakeBotApi, bench: Bench, text: str, expected: str
) -> None:
    model = ScriptedModel(echo)
    with anyio.fail_after(20):
        async with run_in_background(bench, api, model):
            api.user_says(ADA, text)
            (answer,) = await api.wait_for_message(ADA)

    assert expected in answer["text"]
    assert model.requests == []
    assert await bench.messages() == []


async def test_a_path_is_no_command(api: FakeBotApi, bench: Bench) -> None:
    with anyio.fail_after(20):
        async with run_in_background(bench, api):
            api.user_says(ADA, "/usr/bin is what?")
            (answer,) = await api.wait_for_message(ADA)

    assert answer["text"] == "you said: /usr/bin is what?"


@pytest.mark.parametrize(
    ("fields", "kind", "caption"),
    [
        ({"voice": {"file_id": "v", "file_unique_id": "v", "duration": 3}}, "a voice message", ""),
        (
            {
                "photo": [{"file_id": "p", "file_unique_id": "p", "width": 9, "height": 9}],
                "caption": "what is this?",
            },
            "a photo",
            "what is this?",
        ),
        ({"dice": {"emoji": "🎲", "value": 3}}, "a dice", ""),
        ({"hologram": {"depth": 3}}, "a message of a kind I don't know", ""),
    ],
)
async def test_what_cannot_be_understood_yet_is_said_and_kept(
    api: FakeBotApi, bench: Bench, fields: dict[str, Any], kind: str, caption: str
) -> None:
    model = ScriptedModel(echo)
    with anyio.fail_after(20):
        async with run_in_background(bench, api, model):
            update = api.user_sends(ADA, **fields)
            (answer,) = await api.wait_for_message(ADA)
            await bench.wait_for_states("answered", "delivered")
            await api.wait_until_confirmed(update)
            api.repeat(update)
            api.user_says(ADA, "and now?")
            await api.wait_for_message(ADA, 2)

    assert f"can't understand {kind} yet" in answer["text"]
    assert ("have not acted on what you wrote" in answer["text"]) == bool(caption)
    note = (await bench.messages())[0]
    assert kind in note.text()
    assert caption in note.text()
    assert len(model.requests) == 1


async def test_text_that_no_store_takes_is_mended(api: FakeBotApi, bench: Bench) -> None:
    with anyio.fail_after(20):
        async with run_in_background(bench, api):
            api.user_says(ADA, "a\ud800b\0c")
            (answer,) = await api.wait_for_message(ADA)

    assert answer["text"] == "you said: a\ufffdb\ufffdc"


async def test_a_stranger_gets_one_line_and_nothing_is_stored(
    api: FakeBotApi, bench: Bench
) -> None:
    model = ScriptedModel(echo)
    with anyio.fail_after(20):
        async with run_in_background(bench, api, model):
            api.user_says(STRANGER, "let me in")
            api.user_says(STRANGER, "please")
            (line,) = await api.wait_for_message(STRANGER)
            api.user_says(ADA, "hello")
            await api.wait_for_message(ADA)

    assert "99" in line["text"]
    assert "bot: people:" in line["text"]
    assert len(api.messages(STRANGER)) == 1
    assert len(model.requests) == 1
    assert (await bench.store("99").list_conversations()).conversations == []


async def test_groups_and_service_messages_have_no_effect(api: FakeBotApi, bench: Bench) -> None:
    with anyio.fail_after(20):
        async with run_in_background(bench, api):
            api.user_says(-100, "hello all", user_id=ADA)
            said = api.user_says(ADA, "hello")
            api.user_sends(ADA, pinned_message=said["message"])
            api.user_says(ADA, "bye")
            (reply,) = await api.wait_for_message(ADA)

    assert reply["text"] == "you said: hello + bye"
    assert api.messages(-100) == []


async def test_a_failed_turn_is_one_sentence_with_its_reference(
    api: FakeBotApi, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    steps: list[Any] = [ModelUnavailableError("The model is down."), Completion(text="here again")]
    with anyio.fail_after(20):
        async with run_in_background(bench, api, ScriptedModel(steps)):
            api.user_says(ADA, "hi")
            (sentence,) = await api.wait_for_message(ADA)
            await bench.wait_for_states("delivered")
        async with run_in_background(bench, api, ScriptedModel(steps[1:])):
            api.user_says(ADA, "and now?")
            await api.wait_for_message(ADA, 2)

    assert sentence["text"].startswith("The model is down. (reference ")
    reference = sentence["text"].removesuffix(")").split()[-1]
    assert reference in caplog.text
    assert [m["text"] for m in api.messages(ADA)][1:] == ["here again"]


async def test_a_second_bot_on_the_same_store_does_not_lose_messages_whose_ids_are_taken(
    api: FakeBotApi, bench: Bench
) -> None:
    with anyio.fail_after(20):
        async with run_in_background(bench, api):
            update = api.user_says(ADA, "hello")
            await api.wait_for_message(ADA)
            later = {**update["message"], "date": update["message"]["date"] + 60}
            again = api.happens({"message": later})
            await api.wait_for_message(ADA, 2)
            await api.wait_until_confirmed(again)
            api.happens({"message": later})
            api.user_says(ADA, "last")
            replies = await api.wait_for_message(ADA, 3)

    assert [m["text"] for m in replies] == [
        "you said: hello",
        "you said: hello",
        "you said: last",
    ]


async def test_what_is_forwarded_gives_no_orders(api: FakeBotApi, bench: Bench) -> None:
    origin = {"type": "hidden_user", "date": 1_700_000_000, "sender_user_name": "Eve"}
    with anyio.fail_after(20):
        async with run_in_background(bench, api):
            api.user_says(ADA, "/reset", forward_origin=origin)
            question, _ = await bench.wait_for_states("answered", "delivered")
    assert question.content == "/reset"
    assert question.metadata is not None
    assert question.metadata["forwarded"] is True
