"""The bot's process is killed or stopped, and started again on the same files."""

import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import Process

from tests.bot.running_bot import ADA, BOB, TOKEN, open_bench, state_of
from tests.fakes.telegram.bot_api import FakeBotApi, open_bot_api
from tests.fakes.telegram.faults import DropAfter, Hang

ROOT = Path(__file__).parents[2]
MARK = "(Possibly a repeat) "


@asynccontextmanager
async def start_bot(directory: Path, base_url: str, model: str = "echo") -> AsyncGenerator[Process]:
    """A process that is killed with -9 on the way out, if it still runs."""
    command = [sys.executable, "-m", "tests.bot.bot_process", str(directory), base_url, model]
    with (directory.parent / "log").open("ab") as log:
        async with await anyio.open_process(command, cwd=ROOT, stdout=log, stderr=log) as process:
            try:
                yield process
            finally:
                if process.returncode is None:
                    process.kill()


async def test_a_message_is_answered_once_when_the_bot_is_killed_before_it_answers(
    api: FakeBotApi, tmp_path: Path
) -> None:
    files = tmp_path / "files"
    with anyio.fail_after(60):
        async with start_bot(files, api.base_url, "silent"):
            update = api.user_says(ADA, "are you there?")
            await api.wait_until_confirmed(update)
        api.repeat(update)  # as if Telegram had not seen the confirmation
        async with start_bot(files, api.base_url):
            await api.wait_for_message(ADA)
            api.user_says(ADA, "good")
            replies = await api.wait_for_message(ADA, 2)

    assert [m["text"] for m in replies] == ["you said: are you there?", "you said: good"]
    assert TOKEN.encode() not in (tmp_path / "log").read_bytes()


@pytest.mark.slow
async def test_a_reply_that_may_have_been_sent_when_the_bot_was_killed_is_sent_once_marked(
    api: FakeBotApi, tmp_path: Path
) -> None:
    files, sending = tmp_path / "files", Hang()
    api.fail_next("sendMessage", sending)
    with anyio.fail_after(60):
        async with start_bot(files, api.base_url):
            api.user_says(ADA, "hello")
            await sending.reached.wait()
        async with start_bot(files, api.base_url):
            await api.wait_for_message(ADA)
            api.user_says(ADA, "next")
            replies = await api.wait_for_message(ADA, 2)

    assert [m["text"] for m in replies] == [f"{MARK}you said: hello", "you said: next"]


@pytest.mark.slow
async def test_a_stopped_bot_ends_soon_and_answers_at_the_next_start(
    api: FakeBotApi, tmp_path: Path
) -> None:
    files = tmp_path / "files"
    with anyio.fail_after(60):
        async with start_bot(files, api.base_url, "silent") as process:
            waiting = [api.user_says(ADA, "one"), api.user_says(ADA, "two")]
            await api.wait_until_confirmed(waiting[-1])
            process.send_signal(signal.SIGTERM)
            with anyio.fail_after(12):
                assert await process.wait() == 0
        async with start_bot(files, api.base_url):
            await api.until(lambda: _answered(api, ADA) == ["one", "two"] or None)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_bot_stops_at_once(
    api: FakeBotApi, tmp_path: Path, how: signal.Signals
) -> None:
    with anyio.fail_after(30):
        async with start_bot(tmp_path / "files", api.base_url) as process:
            await api.wait_for_call("setMyCommands")
            process.send_signal(how)
            with anyio.fail_after(4):
                assert await process.wait() == 0


@pytest.mark.slow
async def test_a_wrong_token_ends_the_process_with_one_line_without_it(tmp_path: Path) -> None:
    other = "7000000001:BBF-another_token_of_thirty_five_c"
    with anyio.fail_after(30):
        async with (
            open_bot_api(other) as api,
            start_bot(tmp_path / "files", api.base_url) as process,
        ):
            assert await process.wait() == 1

    log = (tmp_path / "log").read_text()
    last_line = log.strip().splitlines()[-1]
    assert (
        last_line == f"{api.base_url} does not accept the bot token: copy it again from @BotFather."
    )
    assert TOKEN not in log


@pytest.mark.crash
async def test_killed_at_any_moment_nothing_is_lost_and_only_what_is_marked_is_doubled(
    tmp_path: Path,
) -> None:
    seed = random.randrange(10_000)
    chance = random.Random(seed)
    files = tmp_path / "files"
    said: list[tuple[int, str]] = []
    with anyio.fail_after(120):
        async with open_bot_api(TOKEN) as api:
            for start in range(6):
                for number in range(8):
                    chat = chance.choice([ADA, BOB])
                    said.append((chat, f"{start}.{number}"))
                    api.user_says(*said[-1])
                if chance.random() < 0.5:
                    api.fail_next("sendMessage", *[DropAfter()] * chance.randrange(3))
                async with start_bot(files, api.base_url):
                    await api.wait_for_call("getUpdates", len(api.calls_of("getUpdates")) + 1)
                    with anyio.move_on_after(chance.uniform(0, 0.4)):
                        await anyio.sleep_forever()
            async with start_bot(files, api.base_url):
                for chat in (ADA, BOB):
                    expected = {text for to, text in said if to == chat}
                    await api.until(lambda c=chat, e=expected: e <= {*_answered(api, c)} or None)
        async with open_bench(files) as bench:
            for chat, owner in ((ADA, "ada"), (BOB, "bob")):
                messages = await bench.messages(f"telegram:{chat}", owner)
                written = [m.text() for m in messages if m.role == "user"]
                assert written == [text for to, text in said if to == chat], seed
                assert {state_of(m) for m in messages} <= {"answered", "delivered", "attempting"}

    for chat in (ADA, BOB):
        unmarked = Counter(_answered(api, chat, only_unmarked=True))
        assert all(count == 1 for count in unmarked.values()), seed
        first_seen = list(dict.fromkeys(_answered(api, chat)))
        assert first_seen == [text for to, text in said if to == chat], seed


def _answered(api: FakeBotApi, chat_id: int, *, only_unmarked: bool = False) -> list[str]:
    """What the replies in a chat answer: each may be for several messages."""
    texts = [message["text"] for message in api.messages(chat_id)]
    return [
        answered
        for text in texts
        if not (only_unmarked and text.startswith(MARK))
        for answered in text.removeprefix(MARK).removeprefix("you said: ").split(" + ")
    ]
