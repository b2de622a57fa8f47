"""The token that the servers hand to the bot in a file."""

import os
import stat
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import httpx2
import pytest

from agentic.config.findings import ConfigError
from servers.access.contract import SCOPES
from servers.access.delegate_token import ensure_delegate_token
from servers.access.principal import Principal
from tests.servers.http_serving import Asker, serving
from tests.servers.token_file import TokenFile


class Place:
    """Where the token is handed over, and where tokens are kept."""

    def __init__(self, folder: Path) -> None:
        self.handed_over = folder / "run/bot.token"
        self.tokens_file = folder / "data/tokens.sqlite3"
        self.tokens = TokenFile(self.tokens_file)

    def start(self) -> str:
        """As the servers do; returns the token's text."""
        self.tokens.run(lambda tokens: ensure_delegate_token(self.handed_over, tokens, "ada"))
        return self.handed_over.read_text().strip()

    def verify(self, text: str) -> Principal | None:
        return self.tokens.verify(text)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def assert_is_delegate(place: Place, text: str) -> None:
    assert place.verify(text) == Principal("bot", "ada", frozenset(SCOPES))
    assert [token.name for token in place.tokens.load()] == ["bot"]


def test_the_first_start_makes_a_delegate_in_a_private_file(place: Place) -> None:
    text = place.start()
    assert_is_delegate(place, text)
    assert stat.S_IMODE(place.handed_over.stat().st_mode) == 0o600
    assert text.split("_", 2)[2] not in place.tokens_file.read_bytes().decode("latin-1")


def test_a_restart_keeps_the_token(place: Place) -> None:
    text = place.start()
    tokens = place.tokens.load()
    assert place.start() == text
    assert place.tokens.load() == tokens


@pytest.mark.parametrize(
    "content", [None, b"", b"\n", b"x", b"\xff\xfe\0", b"two\nlines", b"agentic_00000000_x" * 99]
)
def test_a_file_that_is_gone_or_garbled_is_renewed(place: Place, content: bytes | None) -> None:
    old = place.start()
    place.handed_over.unlink()
    if content is not None:
        place.handed_over.write_bytes(content)
    new = place.start()
    assert new != old
    assert_is_delegate(place, new)
    assert place.verify(old) is None
    assert stat.S_IMODE(place.handed_over.stat().st_mode) == 0o600


def test_a_revoked_token_is_renewed_at_the_next_start(place: Place) -> None:
    old = place.start()
    place.tokens.revoke("bot")
    assert place.verify(old) is None
    assert_is_delegate(place, place.start())


def test_a_token_that_may_not_do_all_is_renewed(place: Place) -> None:
    tokens = place.tokens
    _, text = tokens.create("bot", "ada", SCOPES.keys() - {"conversations:write"})
    place.handed_over.parent.mkdir()
    place.handed_over.write_text(text)
    new = place.start()
    assert new != text
    assert_is_delegate(place, new)


def test_other_tokens_stay_when_it_is_renewed(place: Place) -> None:
    _, laptop = place.tokens.create("laptop", "ada", {"tools:call"})
    place.start()
    place.handed_over.unlink()
    place.start()
    assert place.verify(laptop)


def test_a_damaged_file_of_tokens_is_an_error_and_stays(place: Place) -> None:
    text = place.start()
    place.tokens_file.write_text("{" * 9_000)
    with pytest.raises(ConfigError, match=r"tokens\.sqlite3: is damaged"):
        place.start()
    assert place.tokens_file.read_text() == "{" * 9_000
    assert place.handed_over.read_text().strip() == text


def test_a_place_that_cannot_be_written_is_an_error_and_costs_no_token(place: Place) -> None:
    place.handed_over.parent.write_text("in the way")
    with pytest.raises(ConfigError, match=r"bot\.token: can't be (read|written)"):
        place.start()
    assert place.tokens.load() == []


def test_a_pipe_in_its_place_is_an_error_and_stays(place: Place) -> None:
    place.handed_over.parent.mkdir()
    os.mkfifo(place.handed_over)
    with pytest.raises(ConfigError, match=r"bot\.token: is a device or a pipe, should be a file"):
        place.start()
    assert place.handed_over.is_fifo()
    assert place.tokens.load() == []


def start_in_process(folder: Path) -> str:
    return Place(folder).start()


@pytest.mark.slow
def test_servers_that_start_at_once_agree_on_one_token(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        texts = set(pool.map(start_in_process, [tmp_path] * 12, timeout=60))
    assert len(texts) == 1
    assert_is_delegate(Place(tmp_path), texts.pop())


async def test_the_served_token_acts_for_whom_each_call_names(tmp_path: Path) -> None:
    handed_over = tmp_path / "bot.token"
    async with (
        serving(tmp_path, access=f"delegate_token_file: {handed_over}") as served,
        httpx2.AsyncClient() as http,
    ):
        token = handed_over.read_text().strip()
        bot = Asker(http, served.urls["conversations"], "modern", token)
        assert (await bot.call("list_conversations")).error_code == "forbidden"
        assert (await bot.call("list_conversations", owner="bob")).error_code is None
    assert token.split("_", 2)[2] not in served.log
