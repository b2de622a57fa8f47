"""Who may talk: people who are paired, and strangers, who cost nothing."""

import re
import traceback
from pathlib import Path
from unittest.mock import ANY

import anyio
import anyio.lowlevel
import pytest
from pydantic import SecretStr

from bot import wording
from bot.errors import BadProxyError
from bot.people import People
from bot.rates import Rates, Refusal
from bot.token import ask_username
from client.llm.protocol import Completion
from client.llm.scripted import Held, ScriptedModel
from client.people import RemotePeople
from tests.bot.running_bot import (
    ADA,
    BOB,
    STRANGER,
    Bench,
    create_config,
    echo,
    open_bench,
    run_in_background,
)
from tests.bot.test_crash import start_bot
from tests.fakes.telegram.bot_api import FakeBotApi

WRONG = "BBBB-CCCC-DDDD"


async def test_who_opens_the_link_first_may_talk_at_once_and_after_a_restart(
    api: FakeBotApi, bench: Bench
) -> None:
    with anyio.fail_after(20):
        async with run_in_background(bench, api, people={}):
            made = await RemotePeople(bench).open_pairing("ada")
            api.user_says(ADA, f"/start {made.code}")
            (welcome,) = await api.wait_for_message(ADA)
            api.user_says(ADA, "hello")
            await bench.wait_for_states("answered", "delivered")
            api.user_says(BOB, f"/start {made.code}")
            (refusal,) = await api.wait_for_message(BOB)
        async with run_in_background(bench, api, people={}):
            api.user_says(ADA, "again")
            replies = await api.wait_for_message(ADA, 3)

    assert welcome["text"].startswith("Hello Ada! From now on I know you as ada.")
    assert [reply["text"] for reply in replies[1:]] == ["you said: hello", "you said: again"]
    assert refusal["text"].startswith("That code does not count, or no longer")
    assert [m.content for m in await bench.messages()][::2] == ["hello", "again"]


async def test_of_two_who_write_the_code_one_is_paired_and_the_other_costs_no_model_call(
    api: FakeBotApi, bench: Bench
) -> None:
    model = ScriptedModel(echo)
    with anyio.fail_after(20):
        async with run_in_background(bench, api, model, people={}):
            made = await RemotePeople(bench).open_pairing("ada")
            for chat in (ADA, BOB):
                api.user_says(chat, made.code.lower())
            for chat in (ADA, BOB):
                await api.wait_for_message(chat)
            await api.wait_until_confirmed(api.user_says(BOB, "let me in"))
            api.user_says(ADA, "hello")
            await api.wait_for_message(ADA, 2)

    assert "I know you as ada" in api.messages(ADA)[0]["text"]
    assert "does not count" in api.messages(BOB)[0]["text"]
    assert len(model.requests) == 1


async def test_words_of_a_stranger_are_no_tries(api: FakeBotApi, bench: Bench) -> None:
    with anyio.fail_after(20):
        async with run_in_background(bench, api, people={}):
            made = await RemotePeople(bench).open_pairing("ada")
            for words in ("conversation", "what time zone", "Your-name-7777", "this that then"):
                api.user_says(ADA, words)
            api.user_says(ADA, made.code.lower().replace("-", " "))
            said = await api.wait_for_message(ADA, 2)

    assert said[0]["text"] == wording.render_stranger(ADA)
    assert said[1]["text"].startswith("Hello Ada! From now on I know you as ada.")


async def test_five_wrong_codes_withdraw_the_right_one_which_is_told(
    api: FakeBotApi, bench: Bench
) -> None:
    with anyio.fail_after(20):
        async with run_in_background(bench, api, people={}):
            made = await RemotePeople(bench).open_pairing("ada")
            for number in range(1, 6):
                api.user_says(ADA, WRONG)
                await api.wait_for_message(ADA, number)
            api.user_says(BOB, made.code)
            (late,) = await api.wait_for_message(BOB)

    answers = [message["text"] for message in api.messages(ADA)]
    assert answers[0] == "That is not the code. There are 4 more tries."
    assert answers[3] == "That is not the code. There is one more try."
    assert answers[4].startswith("That is not the code. Too many wrong ones were tried")
    assert "does not count" in late["text"]


async def test_one_who_tries_codes_all_the_time_is_a_stranger_like_others(
    api: FakeBotApi, bench: Bench
) -> None:
    with anyio.fail_after(20):
        async with run_in_background(bench, api, people={}):
            tries = [api.user_says(STRANGER, WRONG) for _ in range(8)]
            await api.wait_until_confirmed(tries[-1])
            await api.wait_for_message(STRANGER, 6)

    texts = [message["text"] for message in api.messages(STRANGER)]
    assert sum("does not count" in text for text in texts) == 5
    assert sum("I talk only to people" in text for text in texts) == 1
    assert bench.calls.count("claim_pairing") == 5


async def test_somebody_who_was_removed_is_a_stranger_at_the_next_start(
    api: FakeBotApi, bench: Bench
) -> None:
    with anyio.fail_after(20):
        people = RemotePeople(bench)
        await people.claim("telegram:42", (await people.open_pairing("ada")).code)
        assert await people.remove("telegram:42")
        async with run_in_background(bench, api, people={}):
            api.user_says(ADA, "hello")
            (line,) = await api.wait_for_message(ADA)

    assert line["text"].startswith("I talk only to people I was told about.")
    assert await bench.messages() == []


async def test_somebody_who_is_removed_meanwhile_is_a_stranger_unless_the_servers_are_away(
    bench: Bench,
) -> None:
    with anyio.fail_after(20):
        remote, people = RemotePeople(bench), People(bench, {"43": "bob"}, trusted_seconds=0)
        await remote.claim("telegram:42", (await remote.open_pairing("ada")).code)
        await people.load()
        assert (await people.find(ADA), await people.find(BOB)) == ("ada", "bob")
        await remote.remove("telegram:42")
        bench.away = True
        assert await people.find(ADA) == "ada"
        bench.away = False
        assert (await people.find(ADA), await people.find(BOB)) == (None, "bob")


@pytest.mark.slow
async def test_a_code_that_comes_again_after_the_bot_was_killed_is_not_taken_for_a_message(
    api: FakeBotApi, tmp_path: Path
) -> None:
    files = tmp_path / "files"
    with anyio.fail_after(60):
        async with open_bench(files) as bench:
            code = (await RemotePeople(bench).open_pairing("cleo")).code
        async with start_bot(files, api.base_url):
            first = api.user_says(STRANGER, code)
            await api.wait_for_message(STRANGER)
        api.repeat(first)
        async with start_bot(files, api.base_url):
            api.user_says(STRANGER, "good")
            replies = await api.wait_for_message(STRANGER, 3)

    assert [m["text"][:12] for m in replies] == ["Hello Ada! F", "Hello Ada! F", "you said: go"]


@pytest.mark.slow
async def test_a_thousand_strangers_cost_no_model_call_and_no_store(
    api: FakeBotApi, bench: Bench
) -> None:
    model = ScriptedModel(echo)
    with anyio.fail_after(30):
        async with run_in_background(bench, api, model):
            await api.wait_for_call("setMyCommands")
            calls = len(bench.calls)
            updates = [api.user_says(1_000 + number, "hello") for number in range(1_000)]
            await api.wait_until_confirmed(updates[-1])
            assert bench.calls[calls:] == []
            api.user_says(ADA, "hello")
            await api.wait_for_message(ADA)

    assert len(model.requests) == 1
    lines = [c for c in api.calls_of("sendMessage") if c.parameters["chat_id"] != ADA]
    assert len({call.parameters["chat_id"] for call in lines}) == len(lines) > 0
    assert all(re.search("I talk only to people", c.parameters["text"]) for c in lines)


async def test_messages_over_the_rate_are_told_once_with_when_and_others_are_not_slowed(
    api: FakeBotApi, bench: Bench
) -> None:
    model = ScriptedModel(echo)
    with anyio.fail_after(20):
        async with run_in_background(bench, api, model, rate="3/hour"):
            updates = [api.user_says(ADA, f"{number}") for number in range(6)]
            await api.wait_until_confirmed(updates[-1])
            api.repeat(updates[-1])
            api.user_says(BOB, "hello")
            await api.wait_for_message(BOB)
            texts = {message["text"] for message in await api.wait_for_message(ADA, 2)}

    (told,) = (text for text in texts if text.startswith("You write faster than I can take in"))
    assert re.search(r"Send it again in 1[12]\d\d seconds\.$", told)
    assert texts == {told, "you said: 0 + 1 + 2"}
    assert len(model.requests) == 2
    (note,) = (c for c in api.calls_of("sendMessage") if c.parameters["text"] == told)
    over = updates[3]["message"]["message_id"]
    assert note.parameters["reply_parameters"]["message_id"] == over


async def test_over_the_rate_an_answer_can_still_be_stopped(api: FakeBotApi, bench: Bench) -> None:
    held = Held(Completion(text="never"))
    with anyio.fail_after(20):
        async with run_in_background(bench, api, ScriptedModel([held]), rate="1/hour"):
            api.user_says(ADA, "hello")
            await held.reached.wait()
            api.user_says(ADA, "/stop")
            (reply,) = await api.wait_for_message(ADA)

    assert reply["text"].endswith(wording.STOPPED)


async def test_a_bucket_fills_again_and_only_the_latest_thousand_are_remembered() -> None:
    rates = Rates(1, 0.001)
    with anyio.fail_after(20):
        assert rates.take(1) is None
        while (refusal := rates.take(1)) is not None:
            assert 0 < refusal.seconds <= 0.001
            await anyio.lowlevel.checkpoint()
        forgotten = Rates(1, 3_600)
        assert [forgotten.take(7), forgotten.take(7)] == [None, Refusal(ANY, is_first=True)]
        assert forgotten.take(7) == Refusal(ANY, is_first=False)
        for user_id in range(8, 1_008):
            assert forgotten.take(user_id) is None
        assert forgotten.take(7) is None


async def test_a_proxy_that_can_not_be_used_is_named_without_its_password(
    api: FakeBotApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = create_config(api).bot
    with anyio.fail_after(20):
        assert await ask_username(config, SecretStr(api.token)) == "agentic_bot"
        monkeypatch.setenv("HTTP_PROXY", "gopher://me:sekret@127.0.0.1:9")
        with pytest.raises(BadProxyError) as caught:
            await ask_username(config, SecretStr(api.token))

    assert "sekret" not in "".join(traceback.format_exception(caught.value))
