"""Tokens in their file: made, shown once, kept hashed, checked, taken back."""

import json
import logging
import os
import stat
import string
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

import anyio
import httpx2
import pytest

from agentic.config.findings import ConfigError
from servers.access.principal import Principal
from servers.access.tokens import MAX_TOKENS, TokenError, TokenFile, TokenVerifier
from tests.servers.http_serving import Asker, Era, Serving, serving

READ = {"conversations:read"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access/tokens.json"


def stored(path: Path) -> list[dict[str, Any]]:
    return list(cast("dict[str, dict[str, Any]]", json.loads(path.read_text())).values())


def test_a_token_stands_for_its_owner_and_scopes(path: Path) -> None:
    verifier = TokenVerifier(path)
    assert verifier.verify("agentic_00000000_x") is None
    token, text = TokenFile(path).create("laptop", "ada", READ)
    assert verifier.verify(text) == Principal("laptop", "ada", frozenset(READ))
    assert TokenFile(path).load() == [token]


def test_the_text_of_a_token_is_in_no_file_and_no_repr(path: Path) -> None:
    token, text = TokenFile(path).create("laptop", "ada", READ)
    secret = text.split("_", 2)[2]
    assert len(secret) >= 43
    assert secret not in repr(token) + str(token)
    for file in path.parent.rglob("*"):
        assert secret not in file.read_text()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_the_file_and_a_new_folder_are_for_their_owner_only(path: Path) -> None:
    TokenFile(path).create("laptop", "ada", READ)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_folder_that_others_use_is_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    TokenFile(tmp_path / "tokens.json").create("laptop", "ada", READ)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_file_open_to_others_is_closed_with_a_warning(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, text = TokenFile(path).create("laptop", "ada", READ)
    path.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        assert TokenVerifier(path).verify(text)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "was open to others" in caplog.text


def test_a_revoked_token_is_refused_by_verifiers_that_knew_it(path: Path) -> None:
    tokens, verifier = TokenFile(path), TokenVerifier(path)
    _, first = tokens.create("first", "ada", READ)
    second, text = tokens.create("second", "ada", READ)
    assert verifier.verify(first)
    assert verifier.verify(text)
    tokens.revoke("first")
    assert verifier.verify(first) is None
    assert verifier.verify(text)
    assert tokens.revoke(second.token_id) == second
    assert verifier.verify(text) is None
    with pytest.raises(TokenError, match="there is no token 'first'"):
        tokens.revoke("first")


def test_a_token_that_replaces_one_of_its_name_is_another(path: Path) -> None:
    tokens = TokenFile(path)
    _, old = tokens.create("laptop", "ada", READ)
    with pytest.raises(TokenError, match="there is a token named 'laptop'"):
        tokens.create("laptop", "ada", READ)
    tokens.revoke("laptop")
    _, new = tokens.create("laptop", "bob", READ)
    assert TokenVerifier(path).verify(old) is None
    assert TokenVerifier(path).verify(new) == Principal("laptop", "bob", frozenset(READ))


def test_a_token_is_good_until_it_expires(path: Path) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    token, text = TokenFile(path).create("laptop", "ada", READ, soon)
    assert not token.is_expired()
    verifier = TokenVerifier(path)
    assert verifier.verify(text)
    [entry] = stored(path)
    entry["expires_at"] = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    path.write_text(json.dumps({token.token_id: entry}))
    assert verifier.verify(text) is None
    assert TokenFile(path).load()[0].is_expired()


def test_a_token_that_has_expired_already_is_not_made(path: Path) -> None:
    with pytest.raises(TokenError, match="expired already"):
        TokenFile(path).create("laptop", "ada", READ, datetime.now(UTC) - timedelta(seconds=1))
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "owner", "scopes", "why"),
    [
        ("", "ada", READ, "a token's name has 1 to 64"),
        ("x" * 65, "ada", READ, "a token's name has 1 to 64"),
        ("two\nlines", "ada", READ, "a token's name has 1 to 64"),
        ("\x1b[31mred", "ada", READ, "a token's name has 1 to 64"),
        ("\ud800", "ada", READ, "a token's name has 1 to 64"),
        (" ", "ada", READ, "neither begins nor ends with a space"),
        ("laptop ", "ada", READ, "neither begins nor ends with a space"),
        ("laptop", "", READ, "an owner has 1 to 256 bytes"),
        ("laptop", "a\nb", READ, "control characters"),
        ("laptop", "é" * 129, READ, "an owner has 1 to 256 bytes"),
        ("laptop", "ada", set[str](), "needs a scope; there are: conversations:read"),
        ("laptop", "ada", {"*"}, r"no scope '\*'; there are: conversations:read"),
        ("laptop", "ada", {"conversations:read", "admin"}, "no scope 'admin'"),
    ],
)
def test_what_cannot_be_a_token_is_refused_with_the_reason(
    path: Path, name: str, owner: str, scopes: set[str], why: str
) -> None:
    with pytest.raises(TokenError, match=why):
        TokenFile(path).create(name, owner, scopes)
    assert not path.exists()


@pytest.mark.parametrize("name", ["x", "x" * 64, "Ada's laptop", "日本", "🦊"])
def test_names_are_what_people_write(path: Path, name: str) -> None:
    _, text = TokenFile(path).create(name, "ada", READ)
    principal = TokenVerifier(path).verify(text)
    assert principal is not None
    assert principal.name == name


def test_nearly_right_texts_are_refused(path: Path) -> None:
    token, text = TokenFile(path).create("laptop", "ada", READ)
    verifier = TokenVerifier(path)
    begin, secret = f"agentic_{token.token_id}_", text.split("_", 2)[2]
    hashed = stored(path)[0]["secret_sha256"]
    wrong = ["", "_", "__", begin, secret, begin + hashed, text + "\n", "\n" + text, f" {text}"]
    wrong += [text + "x" * 300, text.upper(), f"Bearer {text}", text.replace("agentic", "other")]
    wrong += [text[:-1] + letter for letter in string.ascii_letters if letter != text[-1]]
    wrong += ["agentic__" + secret, f"agentic_{token.token_id[:-1]}_{secret}", "\udcff" * 9]
    assert [each for each in wrong if verifier.verify(each) is not None] == []
    assert verifier.verify(text)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"x": 1}', b"\xff", b'{"x": {"token_id": "x"}}', b"\0" * 400]
)
def test_a_damaged_file_lets_nobody_in_and_is_not_overwritten(path: Path, data: bytes) -> None:
    tokens, verifier = TokenFile(path), TokenVerifier(path)
    _, text = tokens.create("laptop", "ada", READ)
    whole = path.read_bytes()
    assert verifier.verify(text)
    path.write_bytes(data)
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"tokens\.json: is damaged"):
            verifier.verify(text)
    with pytest.raises(ConfigError, match=r"tokens\.json: is damaged"):
        tokens.create("other", "ada", READ)
    assert path.read_bytes() == data
    path.write_bytes(whole)
    assert verifier.verify(text)


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "laptop\n2026-11-23 INFO agentic.access: 127.0.0.1 ada"},
        {"name": "\x1b[31mred"},
        {"name": ""},
        {"owner": ""},
        {"owner": "a\nb"},
        {"secret_sha256": "é"},
        {"secret_sha256": ""},
        {"expires_at": "2030-01-01"},
    ],
)
def test_an_entry_that_was_never_made_here_is_damage(path: Path, changed: dict[str, str]) -> None:
    token, text = TokenFile(path).create("laptop", "ada", READ)
    [entry] = stored(path)
    path.write_text(json.dumps({token.token_id: entry | changed}))
    with pytest.raises(ConfigError, match=r"tokens\.json: is damaged"):
        TokenVerifier(path).verify(text)


def test_a_pipe_in_the_place_of_the_file_is_not_waited_for(path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path)
    with pytest.raises(ConfigError, match=r"tokens\.json: is no plain file"):
        TokenVerifier(path).verify("agentic_x_y")


def test_a_file_that_goes_away_lets_nobody_in(path: Path) -> None:
    verifier = TokenVerifier(path)
    _, text = TokenFile(path).create("laptop", "ada", READ)
    assert verifier.verify(text)
    path.unlink()
    assert verifier.verify(text) is None


def test_a_path_that_cannot_be_used_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file/tokens.json"
    with pytest.raises(ConfigError, match=r"tokens\.json: can't be read: Not a directory"):
        TokenVerifier(path).verify("agentic_x_y")
    with pytest.raises(ConfigError, match=r"tokens\.json: can't be written"):
        TokenFile(path).create("laptop", "ada", READ)


def test_there_is_an_end_to_the_number_of_tokens(path: Path) -> None:
    token, _ = TokenFile(path).create("0", "ada", READ)
    many = {
        f"{number:08x}": token.model_copy(update={"token_id": f"{number:08x}", "name": str(number)})
        for number in range(MAX_TOKENS)
    }
    path.write_text(json.dumps({key: each.model_dump(mode="json") for key, each in many.items()}))
    with pytest.raises(TokenError, match=r"there are 1,000 tokens"):
        TokenFile(path).create("laptop", "ada", READ)
    TokenFile(path).revoke("5")
    TokenFile(path).create("laptop", "ada", READ)


def create_many(path: Path, names: Sequence[str]) -> list[str]:
    return [TokenFile(path).create(name, "ada", READ)[1] for name in names]


def test_two_programs_that_make_tokens_at_once_lose_none(path: Path) -> None:
    groups = [[f"{letter}{number}" for number in range(20)] for letter in "ab"]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        made = pool.map(create_many, [path, path], groups, timeout=60)
        texts = [text for group in made for text in group]
    verifier = TokenVerifier(path)
    found = {principal.name for text in texts if (principal := verifier.verify(text))}
    assert found == {*groups[0], *groups[1]}


@pytest.mark.parametrize("era", ["modern", "older"])
async def test_what_is_revoked_or_made_counts_at_once_in_a_running_server(
    tmp_path: Path, era: Era
) -> None:
    async with serving(tmp_path) as served, httpx2.AsyncClient() as http:
        asker = Asker(http, served.urls["conversations"], era, served.create_token("a", "ada"))
        await asker.begin()
        assert (await asker.call("list_conversations")).error_code is None
        served.tokens.revoke("a")
        assert (await asker.call("list_conversations")).status == 401
        asker.token = served.create_token("a", "ada")
        assert (await asker.call("list_conversations")).error_code is None


async def test_a_damaged_file_closes_a_running_server_with_one_line_of_log(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, httpx2.AsyncClient() as http:
        asker = Asker(http, served.urls["tools"], "modern", served.create_token("a", "ada"))
        path = tmp_path / "tokens.json"
        whole = path.read_bytes()
        path.write_bytes(whole[:-9])
        for _ in range(20):
            answer = await asker.call("current_time")
            assert answer.status == 503
            assert "log" in answer.text
        path.write_bytes(whole)
        assert (await asker.call("current_time")).error_code is None
    errors = [line for line in served.log.splitlines() if " ERROR " in line]
    assert len(errors) == 1
    assert "nobody gets in" in errors[0]
    assert "tokens.json: is damaged" in errors[0]


async def read_to_the_end(response: httpx2.Response) -> str:
    return "".join([text async for text in response.aiter_text()])


async def test_a_standing_stream_ends_when_its_token_is_revoked(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, httpx2.AsyncClient(timeout=30) as http:
        kept, lost = await open_sessions(served, http)
        async with stream(http, kept) as staying, stream(http, lost) as ending:
            assert (staying.status_code, ending.status_code) == (200, 200)
            served.tokens.revoke("lost")
            with anyio.fail_after(10):  # less than the time to the next sign of life
                assert "data: {" not in await read_to_the_end(ending)
            assert (await lost.ask("tools/list")).status == 401
            assert (await kept.ask("tools/list")).error_code is None
            assert not staying.is_closed
    assert "Traceback" not in served.log


async def open_sessions(served: Serving, http: httpx2.AsyncClient) -> list[Asker]:
    url = served.urls["conversations"]
    askers = [
        Asker(http, url, "older", served.create_token(name, "ada")) for name in ("kept", "lost")
    ]
    for asker in askers:
        await asker.begin()
    return askers


def stream(http: httpx2.AsyncClient, asker: Asker) -> Any:
    return http.stream("GET", asker.url, headers=asker.headers())
