"""Two conversation servers in this process, and a migration between them."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import anyio
from mcp.types import CallToolResult, ReadResourceResult

from agentic.cli.migrate.journal import open_journal
from agentic.cli.migrate.patience import PatientHub
from agentic.cli.migrate.reading import Place
from agentic.cli.migrate.rounds import Migration
from agentic.cli.migrate.tally import Tally
from client.hub.hub import Hub, open_hub
from client.hub.servers import HubServer, InProcessTarget
from servers.access.principal import create_operator
from servers.conversations.contract import Message
from servers.conversations.contract_results import StoredAttachment
from servers.conversations.file_store import open_file_store
from servers.conversations.server import create_server
from servers.conversations.store import ConversationStore
from servers.conversations.store_values import ConversationUpdate
from tests.servers.conversations.messages import assistant, user
from tests.servers.conversations.model_store import ModelStore

Kind = Literal["file", "model"]


class HookedHub:
    """A hub that notes each call, and does first what a test put into `before`."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.calls: list[tuple[str, str]] = []
        self.before: Callable[[str, str], Any] = lambda server, tool: None

    async def call_tool(
        self,
        server: str,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        owner: str | None = None,
        timeout_seconds: float | None = None,
    ) -> CallToolResult:
        await self._note(server, tool)
        return await self._hub.call_tool(server, tool, arguments, owner=owner)

    async def read_resource(
        self,
        server: str,
        uri: str,
        *,
        owner: str | None = None,
        timeout_seconds: float | None = None,
    ) -> ReadResourceResult:
        await self._note(server, "read_resource")
        return await self._hub.read_resource(server, uri, owner=owner)

    async def _note(self, server: str, tool: str) -> None:
        self.calls.append((server, tool))
        wanted = self.before(server, tool)
        if wanted is not None:
            await wanted


@dataclass
class TwoStores:
    """Both ends, and what was called at them."""

    source: ConversationStore
    target: ConversationStore
    hub: HookedHub
    journal: Path
    tallies: list[Tally] = field(default_factory=list[Tally])

    async def migrate(self, *, thorough: bool = False, backwards: bool = False) -> Tally:
        """One run of the command's work."""
        self.hub.calls.clear()
        tally = Tally()
        self.tallies.append(tally)
        hub = PatientHub(self.hub, pauses=(0.001, 0.001))
        names = ("target", "source") if backwards else ("source", "target")
        source, target = (Place(hub, name) for name in names)
        with anyio.fail_after(30), open_journal(self.journal) as journal:
            await Migration(source, target, journal, tally, thorough=thorough).run()
        return tally

    def called(self, server: str) -> set[str]:
        """What the latest run called."""
        return {tool for name, tool in self.hub.calls if name == server}


@asynccontextmanager
async def open_two(
    home: Path,
    source: Kind | ConversationStore = "model",
    target: Kind | ConversationStore = "model",
) -> AsyncGenerator[TwoStores]:
    """Both empty, unless files of theirs are there, or they are given."""
    home.mkdir(exist_ok=True)
    async with AsyncExitStack() as stack:

        async def open_store(name: str, kind: Kind | ConversationStore) -> ConversationStore:
            if kind == "model":
                return ModelStore()
            if kind != "file":
                return kind
            return await stack.enter_async_context(open_file_store(home / name, sweeping=None))

        stores = (await open_store("source", source), await open_store("target", target))
        operator = create_operator("operator", delegate=True)
        servers = [
            HubServer(name, InProcessTarget(create_server(store, operator)), ours=True)
            for name, store in zip(("source", "target"), stores, strict=True)
        ]
        hub = await stack.enter_async_context(open_hub(servers))
        await hub.wait_ready(timeout_seconds=5)
        yield TwoStores(*stores, HookedHub(hub), home / "cache" / "journal.sqlite3")


OWNERS = ("ada", "bob", "telegram:-100", "é\u202e")


async def fill(store: ConversationStore) -> None:
    """Something of everything that can be stored."""
    for number, owner in enumerate(OWNERS):
        odd = Message.model_validate(
            {
                "message_id": "m0/1",
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "é"},
                    {"type": "tool_use", "id": "i", "name": "n", "input": {"x": [1, None, 0.5]}},
                    {"type": "of the future", "x": None},
                ],
                "thoughts": "hm",
                "turn_id": "m0",
                "metadata": {"usage": {"input_tokens": 3}},
                "created_at": "2020-01-01T00:00:00.000001Z",
            }
        )
        told = Message(message_id="r", role="tool", content="no", tool_call_id="i", is_error=True)
        await store.append_messages(owner, "../é", [user("m0", f"of {owner}", name="A"), odd, told])
        await store.update_conversation(
            owner,
            "../é",
            ConversationUpdate(
                title="Ü",
                tags=["x", "y"],
                metadata={"a": {"b": [1]}},
                expires_at="2100-01-01T00:00:00Z",
            ),
        )
        await store.annotate_message(owner, "../é", "m0", {"delivery": {"state": "answered"}})
        version = (await store.append_messages(owner, "empty", [user("m")])).version
        await store.save_conversation(owner, "empty", [], expected_version=version)
        await store.append_messages(
            owner, f"telegram:{number}", [user(f"{n}", "x" * 200) for n in range(30)]
        )
        await store.append_messages(
            owner,
            f"telegram:{number}",
            [assistant("late", annotations={"delivery": {"state": "pending", "chat_id": number}})],
        )
    data = bytes(range(256)) * 2_500
    for name, content in (("large", data), ("none", b"")):
        await store.put_attachment(
            "ada", "../é", content, name=f"{name}.bin", mime_type="a/b", attachment_id=name
        )


async def list_attachments(
    store: ConversationStore, owner: str, conversation_id: str
) -> AsyncGenerator[StoredAttachment]:
    """All of a conversation's."""
    cursor: str | None = None
    while True:
        page = await store.list_attachments(owner, conversation_id, cursor=cursor)
        for each in page.attachments:
            yield each
        cursor = page.next_cursor
        if cursor is None:
            return


async def everything(store: ConversationStore) -> dict[str, Any]:
    """All that a store holds, but for versions, as it tells it."""
    found: dict[str, Any] = {}
    for owner in sorted((await store.list_owners()).owners):
        listed = (await store.list_conversations(owner, limit=1_000)).conversations
        for each in listed:
            key = (owner, each.conversation_id)
            loaded = await store.load_conversation(*key)
            attached = [
                (one, (await store.read_attachment(*key, one.attachment_id)).data)
                async for one in list_attachments(store, *key)
            ]
            attached.sort(key=lambda pair: pair[0].attachment_id)
            facts = each.model_dump(exclude={"version"})
            found[f"{owner} {each.conversation_id}"] = (facts, loaded.messages, attached)
    for state in ("pending", "answered", "delivered"):
        found[state] = [
            each.model_dump() for each in (await store.list_deliveries(state)).deliveries
        ]
        found[state].sort(key=repr)
    return found
