"""The token never appears in a log, whatever happens, at any level."""

import logging
import traceback
from collections.abc import Generator, Mapping
from typing import Any

import anyio
import pytest
from pydantic import SecretStr

from bot.redaction import tokens_kept_out_of_logs
from bot.telegram_bot import run_bot
from client.coordinator.coordinator import Coordinator
from client.llm.protocol import Completion
from client.llm.scripted import ScriptedModel
from tests.bot.running_bot import (
    ADA,
    STRANGER,
    TOKEN,
    Bench,
    create_config,
    echo,
    run_in_background,
)
from tests.fakes.telegram.bot_api import FakeBotApi
from tests.fakes.telegram.faults import (
    CONFLICT,
    SERVER_ERROR,
    DropAfter,
    DropBefore,
    Garbage,
    too_many_requests,
)

SECRET_PART = TOKEN.partition(":")[2]


class Lines(logging.Handler):
    """Keeps what a plain handler would have written."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{self.format(record)} {record.__dict__}")


@pytest.fixture
def written() -> Generator[list[str]]:
    root, handler = logging.getLogger(), Lines()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler.lines
    root.setLevel(level)
    root.removeHandler(handler)


@pytest.mark.slow
async def test_no_log_line_holds_the_token_in_any_fault(
    api: FakeBotApi, bench: Bench, written: list[str]
) -> None:
    api.fail_next("getMe", DropBefore(), Garbage())
    api.fail_next("deleteWebhook", too_many_requests(0))
    api.fail_next("getUpdates", CONFLICT, Garbage())
    api.fail_next("sendMessage", DropAfter(), SERVER_ERROR)
    with anyio.fail_after(40):
        async with run_in_background(bench, api, ScriptedModel(echo)):
            api.user_says(STRANGER, "hi")
            api.user_says(ADA, "hello")
            await bench.wait_for_states("answered", "delivered")

    assert any("<bot token>" in line for line in written)
    assert not any(SECRET_PART in line for line in written)


async def test_tokens_are_masked_in_messages_arguments_and_tracebacks(written: list[str]) -> None:
    log = logging.getLogger("anything")
    other = "123456:abcdefghijklmnopqrstuvwxyz-_0123456789"
    with tokens_kept_out_of_logs(SecretStr("1:short")):
        log.info("https://api.telegram.org/bot%s/getMe", other)
        log.warning("the short one: 1:short")
        log.info("fine: %d of %s", 1, "2")
        try:
            raise ValueError(f"token {other}") from KeyError("1:short")
        except ValueError:
            log.exception("it broke")

    assert not any(other in line or "1:short" in line for line in written)
    assert any("fine: 1 of 2" in line for line in written)
    assert any("ValueError: token <bot token>" in line for line in written)


async def test_what_ends_the_bot_tells_why_without_the_token(
    api: FakeBotApi, bench: Bench, written: list[str]
) -> None:
    def break_down(tool: str, arguments: Mapping[str, Any]) -> bool:
        raise ValueError(f"no way to https://api.telegram.org/bot{TOKEN}/getMe")

    bench.lose_answer = break_down
    coordinator = Coordinator(bench, ScriptedModel(echo))
    with anyio.fail_after(20), pytest.raises(RuntimeError) as caught:
        await run_bot(
            create_config(api), bench, coordinator, SecretStr(TOKEN), bench.create_spool()
        )

    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET_PART not in shown
    assert any("ValueError: no way to https://" in line for line in written)
    assert not any(SECRET_PART in line for line in written)


async def test_logging_is_as_before_afterwards() -> None:
    before = logging.getLogRecordFactory(), logging.getLogger("httpx").level
    with tokens_kept_out_of_logs(SecretStr("1:x")):
        assert not logging.getLogger("httpx").isEnabledFor(logging.INFO)
    assert (logging.getLogRecordFactory(), logging.getLogger("httpx").level) == before


async def test_the_token_does_not_get_to_the_model(api: FakeBotApi, bench: Bench) -> None:
    model = ScriptedModel([Completion(text="ok")])
    with anyio.fail_after(20):
        async with run_in_background(bench, api, model):
            api.user_says(ADA, "hello")
            await api.wait_for_message(ADA)

    assert SECRET_PART not in repr(model.requests)
