"""Tokens in their file: made, shown once, kept hashed, checked, taken back."""

import os
import stat
import string
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import anyio
import pytest

from agentic.config.findings import ConfigError
from servers.access.principal import Principal
from servers.access.token_file import open_token_file
from servers.access.token_store import MAX_TOKENS, Tokens
from servers.access.tokens import TokenError
from servers.access.verifier import TokenVerifier
from tests.servers.token_file import TokenFile, back_up, put_in_place

READ = {"conversations:read"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access/tokens.sqlite3"


@pytest.fixture
async def tokens(path: Path) -> AsyncGenerator[Tokens]:
    async with open_token_file(path) as tokens:
        yield tokens


@pytest.fixture
def verifier(tokens: Tokens) -> TokenVerifier:
    return TokenVerifier(tokens)


async def test_a_token_stands_for_its_owner_and_scopes(
    tokens: Tokens, verifier: TokenVerifier
) -> None:
    assert await verifier.verify("agentic_00000000_x") is None
    token, text = await tokens.create("laptop", "ada", READ)
    assert await verifier.verify(text) == Principal("laptop", "ada", frozenset(READ))
    assert await tokens.load() == [token]


async def test_the_text_of_a_token_is_in_no_file_and_no_repr(path: Path, tokens: Tokens) -> None:
    token, text = await tokens.create("laptop", "ada", READ)
    secret = text.split("_", 2)[2]
    assert len(secret) >= 43
    assert secret not in repr(token) + str(token)
    files = [file.read_bytes() for file in path.parent.rglob("*")]
    assert token.secret_sha256.encode() in b"".join(files)
    assert secret.encode() not in b"".join(files)


async def test_its_files_and_a_new_folder_are_for_their_owner_only(
    path: Path, tokens: Tokens
) -> None:
    await tokens.create("laptop", "ada", READ)
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_folder_that_others_use_is_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    TokenFile(tmp_path / "tokens.sqlite3").create("laptop", "ada", READ)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


async def test_a_revoked_token_is_refused_by_verifiers_that_knew_it(
    path: Path, tokens: Tokens, verifier: TokenVerifier
) -> None:
    _, first = await tokens.create("first", "ada", READ)
    second, text = await tokens.create("second", "ada", READ)
    assert await verifier.verify(first)
    assert await verifier.verify(text)
    TokenFile(path).revoke("first")  # as another process
    assert await verifier.verify(first) is None
    assert await verifier.verify(text)
    assert await tokens.revoke(second.token_id) == "second"
    assert await verifier.verify(text) is None
    with pytest.raises(TokenError, match="there is no token 'first'"):
        await tokens.revoke("first")


async def test_a_token_that_replaces_one_of_its_name_is_another(
    tokens: Tokens, verifier: TokenVerifier
) -> None:
    _, old = await tokens.create("laptop", "ada", READ)
    with pytest.raises(TokenError, match="there is a token named 'laptop'"):
        await tokens.create("laptop", "ada", READ)
    await tokens.revoke("laptop")
    _, new = await tokens.create("laptop", "bob", READ)
    assert await verifier.verify(old) is None
    assert await verifier.verify(new) == Principal("laptop", "bob", frozenset(READ))


async def test_a_token_is_good_until_it_expires(
    path: Path, tokens: Tokens, verifier: TokenVerifier
) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    token, text = await tokens.create("laptop", "ada", READ, soon)
    assert not token.is_expired()
    assert await verifier.verify(text)
    over = datetime.now(UTC) - timedelta(seconds=1)
    TokenFile(path).rewrite("laptop", expires_at=over.isoformat())
    assert await verifier.verify(text) is None
    assert (await tokens.load())[0].is_expired()


async def test_a_token_that_has_expired_already_is_not_made(tokens: Tokens) -> None:
    with pytest.raises(TokenError, match="expired already"):
        await tokens.create("laptop", "ada", READ, datetime.now(UTC) - timedelta(seconds=1))
    assert await tokens.load() == []


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
async def test_what_cannot_be_a_token_is_refused_with_the_reason(
    tokens: Tokens, name: str, owner: str, scopes: set[str], why: str
) -> None:
    with pytest.raises(TokenError, match=why):
        await tokens.create(name, owner, scopes)
    assert await tokens.load() == []


@pytest.mark.parametrize("name", ["x", "x" * 64, "Ada's laptop", "日本", "🦊" * 64, "a/../b%"])
async def test_names_are_what_people_write(
    tokens: Tokens, verifier: TokenVerifier, name: str
) -> None:
    _, text = await tokens.create(name, "ada", READ)
    principal = await verifier.verify(text)
    assert principal is not None
    assert principal.name == name
    assert await tokens.revoke(name) == name


async def test_what_is_the_id_of_another_is_no_name(tokens: Tokens) -> None:
    laptop, _ = await tokens.create("laptop", "ada", READ)
    with pytest.raises(TokenError, match="is the id of another token: choose another name"):
        await tokens.create(laptop.token_id, "mallory", READ)
    assert await tokens.load() == [laptop]


async def test_where_a_name_is_the_id_of_another_neither_is_taken_back_by_it(
    tokens: Tokens,
) -> None:
    laptop, _ = await tokens.create("laptop", "ada", READ)
    earlier = laptop.model_copy(update={"token_id": "0badcafe", "name": laptop.token_id})
    assert await tokens.add(earlier)  # as earlier programs let it be made
    with pytest.raises(TokenError, match=r"of one token and the id of another: .* 'laptop'"):
        await tokens.revoke(laptop.token_id)
    assert await tokens.revoke("laptop") == "laptop"
    assert await tokens.revoke(laptop.token_id) == laptop.token_id
    assert await tokens.load() == []


async def test_nearly_right_texts_are_refused(tokens: Tokens, verifier: TokenVerifier) -> None:
    token, text = await tokens.create("laptop", "ada", READ)
    begin, secret = f"agentic_{token.token_id}_", text.split("_", 2)[2]
    hashed = token.secret_sha256
    wrong = ["", "_", "__", begin, secret, begin + hashed, text + "\n", "\n" + text, f" {text}"]
    wrong += [text + "x" * 300, text.upper(), f"Bearer {text}", text.replace("agentic", "other")]
    wrong += [text[:-1] + letter for letter in string.ascii_letters if letter != text[-1]]
    wrong += ["agentic__" + secret, f"agentic_{token.token_id[:-1]}_{secret}", "\udcff" * 9]
    assert [each for each in wrong if await verifier.verify(each) is not None] == []
    assert await verifier.verify(text)


async def test_a_damaged_file_lets_nobody_in_and_is_not_overwritten(
    path: Path, tmp_path: Path
) -> None:
    _, text = TokenFile(path).create("laptop", "ada", READ)
    whole = back_up(path)
    async with open_token_file(path) as tokens:
        verifier = TokenVerifier(tokens)
        assert await verifier.verify(text)
        await put_in_place(tmp_path, b"x" * 9_000, path)
        for _ in range(2):
            with pytest.raises(ConfigError, match=r"tokens\.sqlite3: is damaged"):
                await verifier.verify(text)
        assert verifier.verify_known(text) is None
        with pytest.raises(ConfigError, match=r"tokens\.sqlite3: is damaged"):
            await tokens.create("other", "ada", READ)
        assert path.read_bytes() == b"x" * 9_000
        await put_in_place(tmp_path, whole, path)
        assert await verifier.verify(text)


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "laptop\n2026-11-23 INFO agentic.access: 127.0.0.1 ada"},
        {"name": "another"},
        {"name": ""},
        {"owner": ""},
        {"owner": "a\nb"},
        {"secret_sha256": "é"},
        {"secret_sha256": ""},
        {"expires_at": "2030-01-01"},
    ],
)
async def test_an_entry_that_was_never_made_here_is_damage_and_can_be_taken_back(
    path: Path, tokens: Tokens, verifier: TokenVerifier, changed: dict[str, str]
) -> None:
    _, text = await tokens.create("laptop", "ada", READ)
    _, other = await tokens.create("other", "ada", READ)
    TokenFile(path).rewrite("laptop", **changed)
    for each in (text, other):
        with pytest.raises(ConfigError, match=r"'laptop' is damaged: .* token revoke"):
            await verifier.verify(each)
    assert await tokens.revoke("laptop") == "laptop"
    assert await verifier.verify(other)


async def test_a_pipe_in_the_place_of_the_file_is_not_waited_for(path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path)
    with anyio.fail_after(10), pytest.raises(ConfigError, match=r"tokens\.sqlite3.*no plain file"):
        async with open_token_file(path):
            pass


async def test_a_file_that_goes_away_lets_nobody_in(
    path: Path, tokens: Tokens, verifier: TokenVerifier
) -> None:
    _, text = await tokens.create("laptop", "ada", READ)
    assert await verifier.verify(text)
    path.unlink()
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"tokens\.sqlite3: .* has gone"):
            await verifier.verify(text)
    assert not path.exists()


@pytest.mark.slow  # a thousand of them
async def test_there_is_an_end_to_the_number_of_tokens(tokens: Tokens) -> None:
    token, _ = await tokens.create("0", "ada", READ)
    for number in range(1, MAX_TOKENS):
        changed = {"token_id": f"{number:08x}", "name": str(number)}
        assert await tokens.add(token.model_copy(update=changed))
    with pytest.raises(TokenError, match="there are 1,000 tokens"):
        await tokens.create("laptop", "ada", READ)
    await tokens.revoke("5")
    await tokens.create("laptop", "ada", READ)
    assert len(await tokens.load()) == MAX_TOKENS


def create_many(path: Path, names: Sequence[str]) -> list[str]:
    return [TokenFile(path).create(name, "ada", READ)[1] for name in names]


@pytest.mark.slow  # two processes
def test_two_programs_that_make_tokens_at_once_lose_none(path: Path) -> None:
    groups = [[f"{letter}{number}" for number in range(20)] for letter in "ab"]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        made = pool.map(create_many, [path, path], groups, timeout=60)
        texts = [text for group in made for text in group]
    found = {principal.name for text in texts if (principal := TokenFile(path).verify(text))}
    assert found == {*groups[0], *groups[1]}
