"""The tokens in a file, for tests that make and revoke them as they go."""

import json
import sqlite3
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import anyio

from servers.access.principal import Principal
from servers.access.token_file import open_token_file, to_records_file
from servers.access.token_store import Tokens
from servers.access.tokens import Token
from servers.access.verifier import TokenVerifier
from servers.records.sqlite_store import open_sqlite_records

_T = TypeVar("_T")


class TokenFile:
    """Each call opens the file, as `agentic token` does, and closes it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def create(
        self, name: str, owner: str, scopes: Collection[str], expires_at: datetime | None = None
    ) -> tuple[Token, str]:
        return self.run(lambda tokens: tokens.create(name, owner, scopes, expires_at))

    def load(self) -> list[Token]:
        return self.run(lambda tokens: tokens.load())

    def revoke(self, name_or_id: str) -> str:
        return self.run(lambda tokens: tokens.revoke(name_or_id))

    def verify(self, text: str) -> Principal | None:
        return self.run(lambda tokens: TokenVerifier(tokens).verify(text))

    def rewrite(self, name: str, /, **changed: object) -> None:
        """As no program of ours does."""

        async def rewritten() -> None:
            async with open_sqlite_records(to_records_file(self._path)) as store:
                record = await store.get(f"token/{name}")
                assert record is not None
                value = json.dumps(json.loads(record.value) | changed).encode()
                await store.put(record.key, value, record.version)

        in_a_thread(rewritten)

    def run(self, work: Callable[[Tokens], Awaitable[_T]]) -> _T:
        async def opened() -> _T:
            async with open_token_file(self._path) as tokens:
                return await work(tokens)

        return in_a_thread(opened)


def in_a_thread(work: Callable[[], Awaitable[_T]]) -> _T:
    """What `work` gives, where there may be an event loop already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(anyio.run, work).result(timeout=60)


def back_up(path: Path) -> bytes:
    """A copy that is whole while others use the file."""
    copy = path.with_name("copy")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    return copy.read_bytes()


async def put_in_place(tmp_path: Path, data: bytes, path: Path) -> None:
    """As who brings a back-up in."""
    (tmp_path / "new").write_bytes(data)
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    (tmp_path / "new").replace(path)
