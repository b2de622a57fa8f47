"""The bot in a storm: nothing is lost, and nothing is doubled that doesn't say so.

The whole one: `uv run pytest -n 0 -m long tests/bot/test_storm.py`. A storm that something did not
survive is had again by its seed: STORM_SEED=… before that.
"""

import os
import random
from pathlib import Path

import anyio
import pytest

from client.llm.protocol import Completion, ModelRequest
from client.llm.scripted import ScriptedModel
from tests.bot.running_bot import Bench, run_in_background, told
from tests.bot.storm import People, Storm, owner_of, parts_of
from tests.bot.storm_processes import open_processes
from tests.fakes.telegram.bot_api import FakeBotApi
from tests.fakes.telegram.faults import DropAfter, DropBefore, Status


def answer(request: ModelRequest) -> Completion:
    return Completion(text="\n\n".join(parts_of("\n".join(told(request)))))


async def test_each_message_is_answered_once_and_in_order_while_connections_break(
    api: FakeBotApi, bench: Bench
) -> None:
    people = People(Storm(seed=2, chats=12, messages=30, faults=200, hangs=0, pauses=(0,)), api)
    api.choose_fault = people.choose_fault
    with anyio.fail_after(60):
        async with run_in_background(
            bench, api, ScriptedModel(answer), people=people.people, more_seconds=0.05
        ):
            await people.write()
    assert people.faults.keys() >= {DropBefore, DropAfter, Status}
    people.check_chats()
    joined = 0
    for chat_id in map(int, people.people):
        messages = await bench.messages(f"telegram:{chat_id}", owner_of(chat_id))
        people.check_stored(chat_id, messages)
        joined += sum(message.role == "user" for message in messages)
        joined -= sum(message.role == "assistant" for message in messages)
    assert joined > 0, "nothing was taken together"
    assert people.albums > 0


async def survive(api: FakeBotApi, home: Path, storm: Storm, *, kills: int) -> None:
    """The same with processes, of which the bot and the servers are killed so often each."""
    people = People(storm, api)
    api.choose_fault = people.choose_fault
    chance = random.Random(storm.seed)
    moments = sorted(chance.sample(range(storm.messages // 20, storm.messages), 2 * kills))
    async with open_processes(home, api, people) as processes:
        await processes.survive(moments[::2], moments[1::2])
        people.check_chats()
        await processes.check_stored()


@pytest.mark.slow
async def test_a_bot_and_servers_that_are_killed_once_each_answer_all(
    api: FakeBotApi, tmp_path: Path
) -> None:
    with anyio.fail_after(300):
        await survive(api, tmp_path, Storm(seed=7, chats=20, messages=60, hangs=0), kills=1)


@pytest.mark.long
async def test_a_thousand_messages_in_fifty_chats_survive_five_kills_of_the_bot_and_the_servers(
    api: FakeBotApi, tmp_path: Path
) -> None:
    seed = int(os.environ.get("STORM_SEED") or random.randrange(100_000))
    try:
        with anyio.fail_after(900):
            await survive(api, tmp_path, Storm(seed, chats=50, messages=1_000), kills=5)
    except BaseException as failure:
        failure.add_note(f"STORM_SEED={seed}")
        raise
