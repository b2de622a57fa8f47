"""Each chat chooses which of the models of `mcp.yml` answers in it."""

from pathlib import Path

import anyio
import pytest

from agentic.config.models import ModelConfig, ModelsConfig
from bot import wording
from client.llm.protocol import Completion
from client.llm.scripted import Held, ScriptedModel
from tests.bot.running_bot import ADA, BOB, CHAT, Bench, run_in_background
from tests.bot.test_commands import labels, say
from tests.fakes.telegram.bot_api import FakeBotApi


@pytest.fixture
def models(tmp_path: Path) -> ModelsConfig:
    """`usual` answers as the bot's own model does; `poet` says so; `keyless` lacks its key."""
    (script := tmp_path / "poet.yml").write_text("- {when: '', say: Roses are red.}\n")
    return ModelsConfig(
        by_name={
            "usual": ModelConfig(provider="scripted"),
            "poet": ModelConfig(provider="scripted", script=script),
            "keyless": ModelConfig(provider="anthropic"),
        }
    )


async def test_a_chat_changes_its_model_and_keeps_it_in_every_conversation_and_after_a_restart(
    api: FakeBotApi, bench: Bench, models: ModelsConfig
) -> None:
    with anyio.fail_after(30):
        async with run_in_background(bench, api, models=models):
            assert (await say(api, "/model Poet"))["text"] == wording.render_chosen_model("poet")
            assert (await say(api, "hello"))["text"] == "Roses are red."
            await say(api, "/new")
            assert (await say(api, "hello"))["text"] == "Roses are red."
            assert (await say(api, "hello", BOB))["text"] == "you said: hello"
        async with run_in_background(bench, api, models=models):
            assert (await say(api, "hello"))["text"] == "Roses are red."
            assert (await say(api, "/model usual"))["text"] == wording.render_chosen_model("usual")
            assert (await say(api, "hello"))["text"] == "you said: hello"
        said = (await bench.messages())[1].metadata or {}

    assert said["model"] == "scripted/poet"
    assert "telegram_model" not in (await bench.store().get_conversation(CHAT)).metadata


async def test_a_button_changes_the_model_from_the_next_turn_on(
    api: FakeBotApi, bench: Bench, models: ModelsConfig
) -> None:
    held = Held(Completion(text="word " * 100))
    with anyio.fail_after(30):
        async with run_in_background(bench, api, ScriptedModel([held]), models=models):
            shown = await say(api, "/model")
            assert labels(shown) == ["• usual", "poet", "keyless"]
            api.user_says(ADA, "hello")
            await held.reached.wait()
            api.person(ADA).presses(shown, "poet")
            await api.wait_for_call("answerCallbackQuery")
            held.release.set()
            await api.until(lambda: api.messages(ADA)[-1]["text"].endswith("word") or None)
            assert (await say(api, "and now?"))["text"] == "Roses are red."

    assert api.messages(ADA)[0]["text"] == wording.render_chosen_model("poet")
    assert "reply_markup" not in api.messages(ADA)[0]


async def test_what_can_t_be_chosen_is_told_with_the_reason_and_changes_nothing(
    api: FakeBotApi, bench: Bench, models: ModelsConfig
) -> None:
    with anyio.fail_after(30):
        async with run_in_background(bench, api, models=models):
            shown = await say(api, "/model")
            unknown = await say(api, "/model nobody")
            keyless = await say(api, "/model keyless")
            api.person(ADA).presses_data(shown, "model:forged")
            (call,) = await api.wait_for_call("answerCallbackQuery")
            assert (await say(api, "hello"))["text"] == "you said: hello"

    assert unknown["text"] == wording.render_unknown_model("nobody", ["usual", "poet", "keyless"])
    assert "ANTHROPIC_API_KEY" in keyless["text"]
    assert keyless["text"].endswith("Nothing was changed: usual goes on answering here.")
    assert call.parameters["text"] == wording.BUTTON_IS_OLD


@pytest.mark.slow
async def test_a_model_that_is_gone_from_mcp_yml_is_told_once_and_the_usual_one_answers(
    api: FakeBotApi, bench: Bench, models: ModelsConfig
) -> None:
    fewer = ModelsConfig(by_name={"usual": ModelConfig(provider="scripted")})
    with anyio.fail_after(30):
        async with run_in_background(bench, api, models=models):
            await say(api, "/model poet")
            await say(api, "hello")
            await bench.wait_for_states("answered", "delivered")
        async with run_in_background(bench, api, models=fewer):
            assert (await say(api, "one"))["text"] == wording.render_gone_model("poet", "usual")
            await api.wait_for_message(ADA, 4)
            assert (await say(api, "two"))["text"] == "you said: two"
            await bench.wait_for_states(*["answered", "delivered"] * 3)
        async with run_in_background(bench, api, models=models):
            assert (await say(api, "three"))["text"] == "you said: three"

    assert api.messages(ADA)[3]["text"] == "you said: one"


async def test_a_chosen_model_that_has_lost_its_key_says_so_and_nobody_else_answers(
    api: FakeBotApi, bench: Bench, models: ModelsConfig
) -> None:
    await bench.store().create_empty(CHAT, metadata={"telegram_model": "keyless"})
    with anyio.fail_after(30):
        async with run_in_background(bench, api, models=models):
            lacking = await say(api, "hello")
            await say(api, "/model usual")
            again = await say(api, "/retry")

    assert "ANTHROPIC_API_KEY" in lacking["text"]
    assert "/model" in lacking["text"]
    assert again["text"].startswith("you said: hello")
