"""Other ways to keep conversations, behind the same three calls as our store."""

import importlib.util
import json
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, cast

import anyio.to_thread

from servers.conversations.contract import Message
from servers.conversations.file_store import open_file_store

OWNER = "bench"
TEXT = "x" * 500
_LIMIT = 50


class Contender(Protocol):
    """One way to keep conversations."""

    async def fill(self, conversation_id: str, count: int) -> None:
        """Make a conversation of so many messages."""
        ...

    async def append(self, conversation_id: str) -> None:
        """Add one message."""
        ...

    async def load_last(self, conversation_id: str) -> int:
        """The last 50 messages; how many there were."""
        ...

    async def list_newest(self) -> int | None:
        """The newest 50 conversations; how many there were, None where there is no listing."""
        ...


def _item() -> dict[str, Any]:
    return {"role": "user", "content": TEXT}


class _Ours:
    def __init__(self, store: Any) -> None:
        self._store = store

    async def fill(self, conversation_id: str, count: int) -> None:
        for start in range(0, count, 1_000):
            batch = [Message(role="user", content=TEXT) for _ in range(min(1_000, count - start))]
            await self._store.append_messages(OWNER, conversation_id, batch)
        if count > 1:  # search takes in what is new in the background: not while others are timed
            while (await self._store.search_conversations(OWNER, "anything")).truncated:
                pass

    async def append(self, conversation_id: str) -> None:
        message = Message(role="user", content=TEXT)
        await self._store.append_messages(OWNER, conversation_id, [message])

    async def load_last(self, conversation_id: str) -> int:
        page = await self._store.load_conversation(OWNER, conversation_id, limit=_LIMIT)
        return len(page.messages)

    async def list_newest(self) -> int | None:
        return len((await self._store.list_conversations(OWNER, limit=_LIMIT)).conversations)


@asynccontextmanager
async def open_ours(directory: Path) -> AsyncGenerator[Contender]:
    """The embedded store, with its default durability."""
    async with open_file_store(directory / "store") as store:
        yield _Ours(store)


class _AgentsSessions:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._sessions: dict[str, Any] = {}

    def _session(self, conversation_id: str) -> Any:
        from agents.memory.sqlite_session import SQLiteSession

        if conversation_id not in self._sessions:
            self._sessions[conversation_id] = SQLiteSession(conversation_id, self._path)
        return self._sessions[conversation_id]

    async def fill(self, conversation_id: str, count: int) -> None:
        await self._session(conversation_id).add_items([_item() for _ in range(count)])

    async def append(self, conversation_id: str) -> None:
        await self._session(conversation_id).add_items([_item()])

    async def load_last(self, conversation_id: str) -> int:
        return len(await self._session(conversation_id).get_items(limit=_LIMIT))

    async def list_newest(self) -> int | None:
        return None

    def close(self) -> None:
        for session in self._sessions.values():
            session.close()


@asynccontextmanager
async def open_agents_sessions(directory: Path) -> AsyncGenerator[Contender]:
    """A row for each item, in one SQLite file."""
    sessions = _AgentsSessions(directory / "agents.sqlite3")
    try:
        yield sessions
    finally:
        sessions.close()


class _Checkpoints:
    """The state of a thread is saved whole at each step, as a graph does after each node."""

    def __init__(self, saver: Any) -> None:
        self._saver = saver
        self._steps = 0

    async def _load(self, conversation_id: str) -> tuple[dict[str, Any], list[Any]]:
        config = {"configurable": {"thread_id": conversation_id, "checkpoint_ns": ""}}
        found = await self._saver.aget_tuple(config)
        if found is None:
            return config, []
        return found.config, list(found.checkpoint["channel_values"]["messages"])

    async def _save(self, config: dict[str, Any], messages: list[Any]) -> None:
        from langgraph.checkpoint.base import empty_checkpoint

        self._steps += 1
        versions = {"messages": self._steps}
        checkpoint = {
            **empty_checkpoint(),
            "channel_values": {"messages": messages},
            "channel_versions": versions,
        }
        await self._saver.aput(config, checkpoint, {"step": self._steps}, versions)

    async def fill(self, conversation_id: str, count: int) -> None:
        config, _ = await self._load(conversation_id)
        await self._save(config, [_item() for _ in range(count)])

    async def append(self, conversation_id: str) -> None:
        config, messages = await self._load(conversation_id)
        await self._save(config, [*messages, _item()])

    async def load_last(self, conversation_id: str) -> int:
        return len((await self._load(conversation_id))[1][-_LIMIT:])

    async def list_newest(self) -> int | None:
        return None


@asynccontextmanager
async def open_checkpoints(directory: Path) -> AsyncGenerator[Contender]:
    """langgraph's checkpoints in SQLite."""
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    path = str(directory / "checkpoints.sqlite3")
    async with AsyncSqliteSaver.from_conn_string(path) as saver:
        yield _Checkpoints(saver)


class _RewrittenFiles:
    """The design that this project began with: one JSON file a conversation, rewritten each time.

    As it was: nothing is synced, so it is the only one here that a power loss can take back.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def fill(self, conversation_id: str, count: int) -> None:
        messages = [_item() for _ in range(count)]
        await anyio.to_thread.run_sync(self._write, conversation_id, messages)

    async def append(self, conversation_id: str) -> None:
        def work() -> None:
            self._write(conversation_id, [*self._read(conversation_id), _item()])

        await anyio.to_thread.run_sync(work)

    async def load_last(self, conversation_id: str) -> int:
        def work() -> int:  # all of it, so that its memory is freed within its own time
            return len(self._read(conversation_id)[-_LIMIT:])

        return await anyio.to_thread.run_sync(work)

    async def list_newest(self) -> int | None:
        def work() -> int:
            with os.scandir(self._directory) as entries:
                found = sorted(entries, key=lambda entry: entry.stat().st_mtime_ns, reverse=True)
            return len([json.loads(Path(entry.path).read_text()) for entry in found[:_LIMIT]])

        return await anyio.to_thread.run_sync(work)

    def _read(self, conversation_id: str) -> list[Any]:
        path = self._directory / f"{conversation_id}.json"
        return cast("list[Any]", json.loads(path.read_text(encoding="utf-8"))["messages"])

    def _write(self, conversation_id: str, messages: Sequence[Any]) -> None:
        path = self._directory / f"{conversation_id}.json"
        path.write_text(json.dumps({"messages": messages}), encoding="utf-8")


@asynccontextmanager
async def open_rewritten_files(directory: Path) -> AsyncGenerator[Contender]:
    """A folder of JSON files."""
    folder = directory / "json"
    folder.mkdir()
    yield _RewrittenFiles(folder)


Opening = Callable[[Path], AbstractAsyncContextManager[Contender]]
OURS = "this store"
CONTENDERS: dict[str, tuple[str | None, Opening]] = {
    OURS: (None, open_ours),
    "openai-agents `SQLiteSession`": ("agents", open_agents_sessions),
    "langgraph `AsyncSqliteSaver`": ("langgraph.checkpoint.sqlite", open_checkpoints),
    "one JSON file, rewritten": (None, open_rewritten_files),
}
"""By name: the module that must be installed, and how it is opened."""


def is_installed(module: str | None) -> bool:
    """Whether a contender can take part."""
    try:
        return module is None or importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
