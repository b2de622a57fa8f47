"""Random walks: two openings of one store, reopened and harmed at times, against a plain list."""

import random
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from servers.conversations.contract import Message
from servers.conversations.file_store import FileConversationStore, open_file_store
from servers.conversations.store import ConflictError, ConversationUpdate
from tests.servers.conversations.messages import OWNER, user
from tests.servers.conversations.stored_files import file_of, index_files

STEPS = 150
IDS = ["a", "b", "c"]


@dataclass
class Expected:
    """What a conversation should hold."""

    messages: list[Message] = field(default_factory=list[Message])
    version: int = 0
    greatest: int = 0
    title: str | None = None

    def moved_to(self, version: int) -> None:
        assert version > self.greatest
        self.version = self.greatest = version


class Walk:
    """One random walk."""

    def __init__(self, seed: int, stores: list[FileConversationStore]) -> None:
        self.chance = random.Random(seed)
        self.stores = stores
        self.expected = {conversation_id: Expected() for conversation_id in IDS}
        self.made = 0

    def store(self) -> FileConversationStore:
        return self.chance.choice(self.stores)

    def new_messages(self) -> list[Message]:
        count = self.chance.choice([0, 1, 1, 2, 5])
        self.made += count
        sizes = [self.chance.choice([1, 50, 3_000, 90_000]) for _ in range(count)]
        return [
            user(f"m{self.made - count + n}", "é" * size, created_at="2020-01-01T00:00:00Z")
            for n, size in enumerate(sizes)
        ]

    async def step(self) -> None:
        name = self.chance.choice(IDS)
        steps = [self.append, self.append, self.repeat, self.save, self.annotate, self.update]
        await self.chance.choice([*steps, self.delete])(name, self.expected[name])

    async def append(self, name: str, expected: Expected) -> None:
        new = self.new_messages()
        old = self.chance.sample(expected.messages, min(2, len(expected.messages)))
        result = await self.store().append_messages(OWNER, name, [*old, *new])
        assert (result.appended, result.repeated) == (len(new), len(old))
        expected.messages += new
        if new:
            expected.moved_to(result.version)

    async def repeat(self, name: str, expected: Expected) -> None:
        if expected.messages:
            changed = self.chance.choice(expected.messages).model_copy(update={"content": "!"})
            with pytest.raises(ConflictError) as conflict:
                await self.store().append_messages(OWNER, name, [*self.new_messages(), changed])
            assert conflict.value.current_version == expected.version

    async def save(self, name: str, expected: Expected) -> None:
        kept = self.chance.sample(
            expected.messages, self.chance.randrange(len(expected.messages) + 1)
        )
        wanted = [*kept, *self.new_messages()]
        result = await self.store().save_conversation(
            OWNER, name, wanted, expected_version=expected.version
        )
        if wanted != expected.messages:
            expected.moved_to(result.version)
        expected.messages = wanted
        assert result.message_count == len(wanted)

    async def annotate(self, name: str, expected: Expected) -> None:
        if expected.messages:
            place = self.chance.randrange(len(expected.messages))
            message = expected.messages[place]
            change: dict[str, Any] = {
                self.chance.choice("xy"): self.chance.choice([None, 1, "z" * 2_000]),
                "delivery": self.chance.choice([None, "pending", {"state": "sent"}]),
            }
            merged = {**(message.annotations or {}), **change}
            merged = {key: value for key, value in merged.items() if value is not None}
            result = await self.store().annotate_message(
                OWNER, name, str(message.message_id), change
            )
            assert result.annotations == merged
            expected.messages[place] = message.model_copy(update={"annotations": merged or None})

    async def update(self, name: str, expected: Expected) -> None:
        if expected.version:
            title = self.chance.choice([None, "one", "two"])
            result = await self.store().update_conversation(
                OWNER, name, ConversationUpdate(title=title)
            )
            if title != expected.title:
                expected.moved_to(result.version)
            expected.title = title

    async def delete(self, name: str, expected: Expected) -> None:
        if self.chance.random() < 0.4:
            result = await self.store().delete_conversation(OWNER, name)
            assert result.deleted == (expected.version > 0)
            self.expected[name] = Expected(greatest=expected.greatest)

    async def check(self) -> None:
        """Whatever is asked, and however, the answer is what is expected."""
        for name, expected in self.expected.items():
            loaded = await self.store().load_conversation(OWNER, name)
            assert loaded.messages == expected.messages
            assert (loaded.version, loaded.damaged) == (expected.version, 0)
            await self.check_pages(name, expected)
            if expected.version:
                found = await self.store().get_conversation(OWNER, name)
                assert (found.title, found.version) == (expected.title, expected.version)
                assert found.message_count == len(expected.messages)
                assert sum(found.stats.messages_by_role.values()) == len(expected.messages)
        listed = (await self.store().list_conversations(OWNER)).conversations
        living = {name: e.version for name, e in self.expected.items() if e.version}
        assert {c.conversation_id: c.version for c in listed} == living
        await self.check_deliveries()

    async def check_pages(self, name: str, expected: Expected) -> None:
        limit = self.chance.choice([1, 2, 7])
        before, messages = None, list[Message]()
        for _ in range(len(expected.messages) + 1):
            page = await self.store().load_conversation(OWNER, name, limit=limit, before=before)
            messages = [*page.messages, *messages]
            before = page.next_cursor
            if before is None:
                break
        assert messages == expected.messages

    async def check_deliveries(self) -> None:
        for state, value in (("pending", "pending"), ("sent", {"state": "sent"})):
            expected = {
                (name, message.message_id)
                for name, conversation in self.expected.items()
                for message in conversation.messages
                if (message.annotations or {}).get("delivery") == value
            }
            found = (await self.store().list_deliveries(state, limit=1_000)).deliveries
            assert {(d.conversation_id, d.message_id) for d in found} == expected


@pytest.mark.parametrize("seed", range(4))
async def test_a_random_walk_always_shows_what_a_plain_list_would(
    tmp_path: Path, seed: int
) -> None:
    directory = tmp_path / "store"
    walk = Walk(seed, [])
    for leg in range(5):
        async with AsyncExitStack() as stack:
            walk.stores = [
                await stack.enter_async_context(open_file_store(directory)) for _ in range(2)
            ]
            for step in range(STEPS // 5):
                await walk.step()
                if step % 3 == 0:
                    await walk.check()
        for name in IDS:
            if file_of(directory, name).exists() and leg % 2:
                with file_of(directory, name).open("ab") as file:
                    file.write(b'{"seq":99,"kind":"message","left":0,"version"')
        if leg == 3:
            for file in index_files(directory):
                file.unlink()
