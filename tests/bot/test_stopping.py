"""The bot ends: by a signal, by a token that is refused, and with what it leaves for later."""

import os
import signal

import anyio
import pytest
from pydantic import SecretStr

from bot.errors import BadTokenError
from bot.telegram_bot import run_bot
from client.coordinator.coordinator import Coordinator
from client.llm.protocol import Completion
from client.llm.scripted import Held, ScriptedModel
from tests.bot.running_bot import (
    ADA,
    TOKEN,
    Bench,
    create_config,
    echo,
    run_in_background,
)
from tests.fakes.telegram.bot_api import FakeBotApi, open_bot_api
from tests.fakes.telegram.faults import Status


async def test_a_turn_that_ends_soon_after_the_signal_is_still_delivered(
    api: FakeBotApi, bench: Bench
) -> None:
    held = Held(Completion(text="just in time"))
    with anyio.fail_after(20):
        coordinator = Coordinator(bench, ScriptedModel([held]))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(
                run_bot,
                create_config(api),
                bench,
                coordinator,
                SecretStr(api.token),
                bench.create_spool(),
            )
            api.user_says(ADA, "hello")
            await held.reached.wait()
            waiting = api.user_says(ADA, "and this?")
            await api.wait_until_confirmed(waiting)
            os.kill(os.getpid(), signal.SIGTERM)
            held.release.set()

        states = await bench.wait_for_states("answered", "unanswered", "delivered")
    assert [m["text"] for m in api.messages(ADA)] == ["just in time"]
    assert states[1].content == "and this?"


async def test_it_can_be_stopped_while_the_network_is_down(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_bot_api(TOKEN) as gone:
        pass
    coordinator = Coordinator(bench, ScriptedModel(echo))
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(
                run_bot,
                create_config(gone),
                bench,
                coordinator,
                SecretStr(gone.token),
                bench.create_spool(),
            )
            while "can't be reached" not in caplog.text:
                await anyio.lowlevel.checkpoint()
            os.kill(os.getpid(), signal.SIGTERM)


async def test_a_message_that_is_never_finished_is_given_up_after_three_starts(
    api: FakeBotApi, bench: Bench
) -> None:
    model = ScriptedModel(lambda request: Completion(text="never"))
    api.user_says(ADA, "poison")
    with anyio.fail_after(30):
        for _ in range(4):
            held = Held(Completion(text="never"))
            async with run_in_background(bench, api, ScriptedModel([held])):
                await held.reached.wait()
        async with run_in_background(bench, api, model):
            (sentence,) = await api.wait_for_message(ADA)
            await bench.wait_for_states("delivered")

    assert "I leave it now" in sentence["text"]
    assert model.requests == []


async def test_a_wrong_token_is_a_clear_error_without_the_token(bench: Bench) -> None:
    token = "7000000001:CCC-a_wrong_token_of_thirty_five_ch"
    with anyio.fail_after(20):
        async with open_bot_api(TOKEN) as api:
            coordinator = Coordinator(bench, ScriptedModel(echo))
            with pytest.raises(BadTokenError, match="does not accept the bot token") as caught:
                await run_bot(
                    create_config(api), bench, coordinator, SecretStr(token), bench.create_spool()
                )

    assert token not in repr(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("token", ["", "not-a-token", "1:abc def", "1:abc\n", "1:{token}/../x"])
async def test_what_cannot_be_a_token_is_never_sent(bench: Bench, token: str) -> None:
    with anyio.fail_after(20):
        async with open_bot_api(TOKEN) as api:
            coordinator = Coordinator(bench, ScriptedModel(echo))
            with pytest.raises(BadTokenError, match="bot token"):
                await run_bot(
                    create_config(api), bench, coordinator, SecretStr(token), bench.create_spool()
                )

    assert api.calls == []


@pytest.mark.parametrize("method", ["getUpdates", "sendMessage"])
async def test_a_token_that_is_revoked_while_it_runs_ends_the_bot(
    api: FakeBotApi, bench: Bench, method: str
) -> None:
    coordinator = Coordinator(bench, ScriptedModel(echo))
    api.fail_next(method, Status(401, "Unauthorized"))
    api.user_says(ADA, "hello")
    with anyio.fail_after(20), pytest.raises(BadTokenError):
        await run_bot(
            create_config(api), bench, coordinator, SecretStr(api.token), bench.create_spool()
        )
    if method == "sendMessage":
        await bench.wait_for_states("answered", "pending")
