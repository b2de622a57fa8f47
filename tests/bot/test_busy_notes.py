"""A message that waits behind another is noted: once, silently, until it has its turn."""

import anyio

from bot import wording
from client.llm.protocol import Completion
from client.llm.scripted import Held, ScriptedModel
from tests.bot.running_bot import ADA, Bench, run_in_background
from tests.fakes.telegram.bot_api import FakeBotApi


async def test_of_messages_that_wait_the_first_is_noted_until_it_has_its_turn(
    api: FakeBotApi, bench: Bench
) -> None:
    first, second = Held(Completion(text="one")), Held(Completion(text="two and three"))
    model = ScriptedModel([first, second, Completion(text="four")])
    with anyio.fail_after(30):
        async with run_in_background(bench, api, model, busy_seconds=0):
            api.user_says(ADA, "1")
            await first.reached.wait()
            waiting = api.user_says(ADA, "2")
            (note,) = await api.wait_for_message(ADA)
            await api.wait_until_confirmed(api.user_says(ADA, "3"))
            first.release.set()
            await second.reached.wait()
            await api.wait_for_call("deleteMessage")
            await api.wait_until_confirmed(api.user_says(ADA, "4"))
            second.release.set()
            replies = await api.wait_for_message(ADA, 3)

    assert note["text"] == wording.WAITS_HERE
    assert [reply["text"] for reply in replies] == ["one", "two and three", "four"]
    (sent,) = (c for c in api.calls_of("sendMessage") if c.parameters["text"] == wording.WAITS_HERE)
    assert sent.parameters["disable_notification"] is True
    assert sent.parameters["reply_parameters"]["message_id"] == waiting["message"]["message_id"]


async def test_a_short_wait_has_no_note(api: FakeBotApi, bench: Bench) -> None:
    first = Held(Completion(text="one"))
    model = ScriptedModel([first, Completion(text="two")])
    with anyio.fail_after(30):
        async with run_in_background(bench, api, model):
            api.user_says(ADA, "1")
            await first.reached.wait()
            await api.wait_until_confirmed(api.user_says(ADA, "2"))
            first.release.set()
            await api.wait_for_message(ADA, 2)

    texts = [call.parameters["text"] for call in api.calls_of("sendMessage")]
    assert wording.WAITS_HERE not in texts
