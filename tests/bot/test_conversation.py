"""A person talks to the bot: from the update to the stored and delivered reply."""

from pathlib import Path

import anyio

from client.llm.protocol import Completion
from client.llm.scripted import Held, ScriptedModel
from tests.bot.running_bot import ADA, BOB, TOKEN, open_bench, run_in_background
from tests.fakes.bot_api import open_bot_api


async def test_an_update_is_stored_answered_and_its_delivery_kept(tmp_path: Path) -> None:
    with anyio.fail_after(20):
        async with (
            open_bot_api(TOKEN) as api,
            open_bench(tmp_path) as bench,
            run_in_background(bench, api),
        ):
            update = api.user_says(ADA, "hello")
            (reply,) = await api.wait_for_message(ADA)
            await api.wait_until_confirmed(update)

            assert reply["text"] == "you said: hello"
            while await bench.delivery_states() != ["answered", "delivered"]:
                await anyio.sleep(0.01)
            question, answer = await bench.messages()
            assert question.message_id == f"telegram:42:{update['message']['message_id']}"
            assert answer.turn_id == question.message_id
            assert answer.annotations is not None
            assert answer.annotations["delivery"]["sent"] == [reply["message_id"]]
            assert api.refusals == []
            print(bench.hub.calls)
