"""Every byte of a small store flipped in turn: never a crash, nothing of anybody else, and told."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from servers.conversations.contract import Conversation, Message
from servers.conversations.file_engine import open_file_engine
from servers.conversations.file_reserve import RESERVE
from servers.conversations.file_sealing import Sealing
from servers.conversations.file_store import FileConversationStore, open_file_store
from servers.conversations.file_upkeep import verify
from servers.conversations.store_errors import NotFoundError, UnavailableError
from servers.conversations.store_values import ConversationUpdate
from tests.servers.conversations.messages import assistant, user

SMALL = Sealing(after_bytes=1_200)
OWNERS = ("ada", "cda")
"""One bit apart, so that a flip could make one of the other."""
IDS = ("x", "z")
PENDING = {"delivery": "pending"}
DATA = b"attached" * 20


@dataclass(frozen=True)
class Whole:
    """A conversation as it was stored."""

    messages: Sequence[Message]
    facts: Conversation


async def fill(directory: Path) -> dict[tuple[str, str], Whole]:
    """A store of four conversations, half sealed, with facts, annotations and attachments."""
    stored: dict[tuple[str, str], Whole] = {}
    async with open_file_store(directory, sealing=SMALL) as store:
        for owner in OWNERS:
            for conversation_id in IDS:
                mine = f"{owner} {conversation_id}"
                key = (owner, conversation_id)
                for number in range(4):
                    message = user(f"m{number}", f"{mine} {number} ".ljust(120, "."))
                    await store.append_messages(*key, [message])
                await store.update_conversation(*key, ConversationUpdate(title=mine, tags=["t"]))
                await store.annotate_message(*key, "m1", {**PENDING, "of": mine})
                await store.append_messages(*key, [user("a", mine), assistant("b", mine)])
                await store.put_attachment(
                    *key, DATA + mine.encode(), name="n", mime_type="a/b", attachment_id="att"
                )
        for owner in OWNERS:
            assert len((await store.search_conversations(owner, owner)).hits) == 14
            for facts in (await store.list_conversations(owner)).conversations:
                loaded = await store.load_conversation(owner, facts.conversation_id)
                stored[owner, facts.conversation_id] = Whole(loaded.messages, facts)
    return stored


def is_part_of(some: Sequence[Message], all_of_them: Sequence[Message]) -> bool:
    """Whether they are there in this order, annotations that a record tells aside."""
    rest = iter(all_of_them)
    return all(
        any(each == one or each.model_copy(update={"annotations": None}) == one for each in rest)
        for one in some
    )


async def check(store: FileConversationStore, stored: dict[tuple[str, str], Whole]) -> bool:
    """Whether all is there; what isn't is told, and nothing is anybody else's."""
    is_whole = True
    for (owner, conversation_id), whole in stored.items():
        try:
            loaded = await store.load_conversation(owner, conversation_id)
        except UnavailableError:
            is_whole = False
        else:
            assert is_part_of(loaded.messages, whole.messages)
            assert (list(loaded.messages) == whole.messages) or loaded.damaged
            is_whole &= loaded.damaged == 0
        is_whole &= await check_attachment(store, owner, conversation_id)
    for owner in OWNERS:
        listed = (await store.list_conversations(owner, tag="t")).conversations
        for conversation in listed:
            mine = stored[owner, conversation.conversation_id].facts
            assert (conversation.owner, conversation.title) == (owner, mine.title)
        is_whole &= len(listed) == len(IDS)
        for hit in (await store.search_conversations(owner, f"{owner[0]}*")).hits:
            assert f"**{owner}** " in hit.snippet
        for delivery in (await store.list_deliveries("pending", owner=owner)).deliveries:
            assert delivery.annotations["of"] == f"{owner} {delivery.conversation_id}"
    return is_whole


async def check_attachment(store: FileConversationStore, owner: str, conversation_id: str) -> bool:
    try:
        part = await store.read_attachment(owner, conversation_id, "att")
    except (UnavailableError, NotFoundError):
        return False
    assert part.data == DATA + f"{owner} {conversation_id}".encode()
    return True


async def count_findings(directory: Path) -> int:
    async with open_file_engine(directory) as engine:
        return sum([len(step.examination.findings) async for step in verify(engine)])


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(2_003, marks=pytest.mark.slow),
        pytest.param(1, marks=pytest.mark.long),
    ],
)
async def test_a_flipped_byte_costs_little_is_told_and_shows_nothing_of_others(
    tmp_path: Path, step: int
) -> None:
    whole, directory = tmp_path / "whole", tmp_path / "store"
    stored = await fill(whole)
    (whole / RESERVE).unlink()  # holds nothing, and is long
    files = [path.relative_to(whole) for path in whole.rglob("*") if path.is_file()]
    assert sum(path.name.endswith(".zst") for path in files) >= 4
    offset = 0
    for file in sorted(files):
        data = (whole / file).read_bytes()
        finer = step if file.name.startswith("index") else max(1, step // 12)
        for place in range(offset % finer, len(data), finer):
            shutil.rmtree(directory, ignore_errors=True)
            shutil.copytree(whole, directory)
            flipped = bytearray(data)
            flipped[place] ^= 1 << (place % 8)
            (directory / file).write_bytes(flipped)
            try:
                async with open_file_store(directory, sealing=SMALL) as store:
                    is_whole = await check(store, stored)
            except UnavailableError:
                assert file.name == "FORMAT", (file, place)
            except BaseException as error:
                error.add_note(f"byte {place} of {file}")
                raise
            else:
                is_told = file.parts[0] != "v1" or await count_findings(directory) > 0
                assert is_whole or is_told, (file, place)
        offset += len(data)
