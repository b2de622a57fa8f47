"""The tokens that JSON held: taken over once, by whoever comes first."""

import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from agentic.config.findings import ConfigError
from servers.access.principal import Principal
from servers.access.token_file import open_token_file, read_token_file
from servers.access.tokens import TokenError, create_token
from tests.servers.token_file import TokenFile

READ = {"conversations:read"}


@pytest.fixture
def former(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


def write_former(former: Path, *names: str) -> list[str]:
    """As earlier programs did; the tokens' texts."""
    made = [create_token(name, "ada", READ) for name in names]
    tokens = {token.token_id: token.model_dump(mode="json") for token, _ in made}
    former.write_text(json.dumps(tokens, indent=2))
    former.chmod(0o600)
    return [text for _, text in made]


@pytest.mark.parametrize("named", ["tokens.json", "tokens.sqlite3"])
def test_they_are_all_taken_over_and_the_file_is_kept_by_another_name(
    former: Path, named: str
) -> None:
    texts = write_former(former, "laptop", "desk")
    data = former.read_bytes()
    tokens = TokenFile(former.with_name(named))
    assert [tokens.verify(text) for text in texts] == [
        Principal(name, "ada", frozenset(READ)) for name in ("laptop", "desk")
    ]
    assert not former.exists()
    assert former.with_name("tokens.json.taken-over").read_bytes() == data
    assert former.with_name("tokens.sqlite3").exists()
    tokens.revoke("laptop")
    assert tokens.verify(texts[0]) is None


async def test_who_copies_tokens_reads_either_file_and_leaves_it(former: Path) -> None:
    write_former(former, "laptop")
    for named in (former, former.with_suffix(".sqlite3")):
        assert [token.name for token in await read_token_file(named)] == ["laptop"]
    assert [file.name for file in former.parent.iterdir()] == [former.name]
    async with open_token_file(former):
        pass
    assert [token.name for token in await read_token_file(former)] == ["laptop"]
    with pytest.raises(ConfigError, match=r"absent\.json: there is no such file"):
        await read_token_file(former.with_name("absent.json"))


def test_who_cannot_write_beside_it_is_told_what_changed(former: Path) -> None:
    write_former(former, "laptop")
    former.with_name("tokens.sqlite3").mkdir()
    with pytest.raises(ConfigError, match=r"no longer read from JSON .*/tokens\.json: .*writable"):
        TokenFile(former).load()
    assert former.exists()


def test_a_file_without_a_known_ending_is_taken_over_too(tmp_path: Path) -> None:
    [text] = write_former(tmp_path / "tokens.dev", "laptop")
    assert TokenFile(tmp_path / "tokens.dev").verify(text)
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {"tokens.dev.sqlite3", "tokens.dev.taken-over"}


def test_a_program_that_was_killed_in_between_is_gone_on_with(former: Path) -> None:
    texts = write_former(former, "laptop", "desk", "phone")
    data = former.read_bytes()
    tokens = TokenFile(former)
    assert all(tokens.verify(text) for text in texts)
    former.write_bytes(data)  # it was killed before it gave it the other name
    assert [token.name for token in tokens.load()] == ["laptop", "desk", "phone"]
    assert not former.exists()


def test_a_name_that_is_taken_stays_with_who_has_it(former: Path) -> None:
    _, here = TokenFile(former).create("laptop", "bob", READ)
    [there, desk] = write_former(former, "laptop", "desk")
    tokens = TokenFile(former)
    assert tokens.verify(here)
    assert tokens.verify(desk)
    assert tokens.verify(there) is None


def test_one_that_had_expired_is_still_listed(former: Path) -> None:
    token, _ = create_token("laptop", "ada", READ)
    over = token.model_copy(update={"expires_at": datetime.now(UTC) - timedelta(days=1)})
    former.write_text(json.dumps({token.token_id: over.model_dump(mode="json")}))
    assert TokenFile(former).load() == [over]


@pytest.mark.parametrize("data", [b"", b"{", b"{}", b"[]", b'{"x": 1}', b"root:x:0:0", b"\xff"])
async def test_what_holds_no_tokens_is_told_and_stays_as_it_is(former: Path, data: bytes) -> None:
    former.write_bytes(data)
    former.chmod(0o644)
    refusal = r"tokens\.json: is no file of tokens, or damaged: correct access\.tokens_file"
    for _ in range(2):
        with pytest.raises(ConfigError, match=refusal):
            async with open_token_file(former):
                pass
    with pytest.raises(ConfigError, match=r"tokens\.json: is no file of tokens$"):
        await read_token_file(former)
    assert former.read_bytes() == data
    assert stat.S_IMODE(former.stat().st_mode) == 0o644
    assert [file.name for file in former.parent.iterdir()] == [former.name]


def test_one_that_was_open_to_others_is_closed_to_them(former: Path) -> None:
    write_former(former, "laptop")
    former.chmod(0o644)
    assert TokenFile(former).load()
    assert stat.S_IMODE(former.with_name("tokens.json.taken-over").stat().st_mode) == 0o600


async def test_what_is_no_file_is_told(tmp_path: Path, former: Path) -> None:
    with pytest.raises(ConfigError, match="is no plain file"):
        async with open_token_file(tmp_path):
            pass
    os.mkfifo(former)
    with pytest.raises(ConfigError, match=r"tokens\.json: is no plain file"):
        async with open_token_file(former):
            pass
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file/tokens\.json: can't be read: Not a directory"):
        async with open_token_file(tmp_path / "file/tokens.json"):
            pass


def take_over_and_revoke(former: Path) -> str:
    try:
        return TokenFile(former).revoke("laptop")
    except TokenError:
        return ""


@pytest.mark.slow  # four processes
def test_what_one_program_revokes_comes_back_through_no_other(former: Path) -> None:
    texts = write_former(former, "laptop", *(f"n{number}" for number in range(30)))
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        revoked = list(pool.map(take_over_and_revoke, [former] * 8, timeout=60))
    assert sorted(revoked) == [""] * 7 + ["laptop"]
    tokens = TokenFile(former)
    assert tokens.verify(texts[0]) is None
    assert len(tokens.load()) == 30


@pytest.mark.slow  # a process
def test_the_command_takes_over_what_the_configuration_names(former: Path) -> None:
    write_former(former, "laptop")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(former.parent),
        "AGENTIC_ACCESS__TOKENS_FILE": str(former),
    }
    command = [sys.executable, "-m", "agentic", "token", "list", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=True)
    listed: list[dict[str, Any]] = json.loads(done.stdout)
    assert [token["name"] for token in listed] == ["laptop"]


@pytest.mark.slow  # a process each
@pytest.mark.skipif(os.geteuid() != 0 or which("setpriv") is None, reason="root gives files away")
@pytest.mark.parametrize("mode", [0o755, 0o700])
@pytest.mark.parametrize("has_file", [False, True])
def test_whose_the_files_are_is_told_where_they_are_closed(
    tmp_path: Path, mode: int, has_file: bool
) -> None:
    folder = tmp_path / "data"
    if has_file:
        TokenFile(folder / "tokens.sqlite3").create("laptop", "ada", READ)
        os.chown(folder / "tokens.sqlite3", 65534, 65534)
    folder.mkdir(exist_ok=True)
    os.chown(folder, 65534, 65534)
    folder.chmod(mode)
    without_rights = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
    done = subprocess.run(
        [*without_rights, sys.executable, "-m", "agentic", "token", "create", "desk"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AGENTIC_DATA_DIRECTORY": folder},
        capture_output=True,
        timeout=60,
    )
    told = done.stderr.decode()
    assert done.returncode == 2
    assert "belongs to user 65534, and this program runs as user 0: give it to that user" in told
    assert "tokens.json" not in told
