"""What people write is changed, asked again, sent again, liked or not."""

import anyio

from bot import wording
from client.llm.protocol import Completion
from client.llm.scripted import Held, ScriptedModel
from tests.bot.running_bot import ADA, BOB, CHAT, Bench, run_in_background, told
from tests.bot.test_commands import say
from tests.fakes.telegram.bot_api import FakeBotApi


async def test_an_edited_message_is_answered_anew_in_a_copy(api: FakeBotApi, bench: Bench) -> None:
    with anyio.fail_after(30):
        async with run_in_background(bench, api):
            await say(api, "one")
            update = api.user_says(ADA, "tow")
            await api.wait_for_message(ADA, 2)
            await bench.wait_for_states(*["answered", "delivered"] * 2)
            edit = api.person(ADA).edits(update, "two")
            await api.wait_for_message(ADA, 3)
            api.repeat(edit)
            await say(api, "three")
        copy, original = (await bench.store().list_conversations()).conversations

    kept = await bench.messages(original.conversation_id)
    assert [m.text() for m in kept if m.role == "user"] == ["one", "tow"]
    edited = await bench.messages(copy.conversation_id)
    assert [m.text() for m in edited if m.role == "user"] == ["one", "two", "three"]
    assert [m["text"] for m in api.messages(ADA)] == [
        f"you said: {text}" for text in ("one", "tow", "two", "three")
    ]


async def test_editing_what_is_being_answered_stops_that_answer(
    api: FakeBotApi, bench: Bench
) -> None:
    held = Held(Completion(text="word " * 100))
    model = ScriptedModel([held, Completion(text="Better.")])
    with anyio.fail_after(30):
        async with run_in_background(bench, api, model):
            update = api.user_says(ADA, "first try")
            await api.wait_for_message(ADA)
            api.person(ADA).edits(update, "second try")
            await api.wait_for_message(ADA, 2)

    stopped, answer = api.messages(ADA)
    assert stopped["text"].endswith(wording.STOPPED)
    assert answer["text"] == "Better."
    assert [m.text() for m in model.requests[1].messages] == ["second try"]


async def test_what_waits_is_changed_before_its_turn_and_answered_once(
    api: FakeBotApi, bench: Bench
) -> None:
    held = Held(Completion(text="one"))
    model = ScriptedModel([held, Completion(text="two and three")])
    with anyio.fail_after(30):
        async with run_in_background(bench, api, model):
            api.user_says(ADA, "1")
            await held.reached.wait()
            waiting = [api.user_says(ADA, "tow"), api.user_says(ADA, "three")]
            await api.wait_until_confirmed(waiting[1])
            for text in ("tow", "two"):
                edit = api.person(ADA).edits(waiting[0], text)
                await api.wait_until_confirmed(edit)
            held.release.set()
            await api.wait_for_message(ADA, 2)
            await bench.wait_for_states(*["answered"] * 5, "delivered", "delivered")
        api.repeat(edit)
        async with run_in_background(bench, api):
            assert (await say(api, "four"))["text"] == "you said: four"
        conversations = (await bench.store().list_conversations()).conversations

    assert told(model.requests[1]) == ["two", "three"]
    assert [m["text"] for m in api.messages(ADA)][:2] == ["one", "two and three"]
    assert [c.conversation_id for c in conversations] == [CHAT]


async def test_only_the_last_message_can_be_changed_and_only_by_words(
    api: FakeBotApi, bench: Bench
) -> None:
    with anyio.fail_after(30):
        async with run_in_background(bench, api):
            update = api.user_says(ADA, "one")
            await api.wait_for_message(ADA)
            last = api.user_says(ADA, "two")
            await api.wait_for_message(ADA, 2)
            api.person(ADA).edits(last, "two")
            api.person(ADA).edits(update, "uno")
            (*_, answer) = await api.wait_for_message(ADA, 3)
        conversations = (await bench.store().list_conversations()).conversations

    assert answer["text"] == wording.ONLY_THE_LAST
    assert [c.conversation_id for c in conversations] == [CHAT]


async def test_the_last_message_is_answered_once_more(api: FakeBotApi, bench: Bench) -> None:
    model = ScriptedModel([Completion(text="Heads."), Completion(text="Tails.")])
    with anyio.fail_after(30):
        async with run_in_background(bench, api, model):
            assert (await say(api, "/retry"))["text"] == wording.NOTHING_HERE
            await say(api, "Toss a coin")
            assert (await say(api, "/retry"))["text"] == "Tails."

    assert model.requests[1].messages[-1].text() == "Toss a coin"


async def test_a_reply_is_sent_again_when_asked_for(api: FakeBotApi, bench: Bench) -> None:
    with anyio.fail_after(30):
        async with run_in_background(bench, api):
            assert (await say(api, "/resend"))["text"] == wording.NOTHING_TO_RESEND
            await say(api, "**hello**")
            again = await say(api, "/resend")

    assert again["text"] == "you said: hello"
    assert [e["type"] for e in again["entities"]] == ["bold"]


async def test_a_thumb_is_kept_with_the_reply_and_taken_back(api: FakeBotApi, bench: Bench) -> None:
    async def feedback() -> object:
        return ((await bench.messages())[1].annotations or {}).get("feedback")

    with anyio.fail_after(30):
        async with run_in_background(bench, api):
            reply = await say(api, "hello")
            await bench.wait_for_states("answered", "delivered")
            seen: list[object] = []
            for thumbs in (["👍"], ["👎"], ["🎉"]):
                confirmed = api.person(ADA).reacts(reply, *thumbs)
                await api.wait_until_confirmed(confirmed)
                seen.append(await feedback())
            api.person(BOB).reacts(reply, "👍")  # forged: it is her chat
            await say(api, "still here")

    assert seen == ["up", "down", None]
    assert await feedback() is None


async def test_a_thumb_reaches_a_reply_of_the_conversation_before(
    api: FakeBotApi, bench: Bench
) -> None:
    with anyio.fail_after(30):
        async with run_in_background(bench, api):
            reply = await say(api, "hello")
            await bench.wait_for_states("answered", "delivered")
            for words in ("/new", "again", "/new"):
                await say(api, words)
            await api.wait_until_confirmed(api.person(ADA).reacts(reply, "👍"))
            _, stored = await bench.messages()

    assert (stored.annotations or {})["feedback"] == "up"
