"""A stored history is read whole, in order, a page at a time."""

import io
import json
from pathlib import Path

import anyio
import pytest

from agentic.cli.conversation_document import write_document
from agentic.cli.failures import CommandError
from agentic.cli.stored_history import StoredHistory, load_facts
from servers.conversations.contract import Message
from tests.assistant import open_assistant


@pytest.mark.parametrize("limit", [None, 1, 500, 501, 1_100, 5_000])
async def test_the_latest_messages_come_in_chronological_order(
    tmp_path: Path, limit: int | None
) -> None:
    with anyio.fail_after(60):
        async with open_assistant(tmp_path / "store") as assistant:
            for start in (0, 600):
                batch = [
                    Message(role="user", content=str(n), message_id=f"m{n}")
                    for n in range(start, start + 600)
                ]
                await assistant.store.append_messages("c", batch)
            history = StoredHistory(assistant.store, "c", limit)
            read = [message.content async for message in history.read()]
    assert read == [str(n) for n in range(max(0, 1_200 - (limit or 1_200)), 1_200)]
    assert history.damaged == 0


async def test_a_document_is_json_without_and_with_messages(tmp_path: Path) -> None:
    odd = Message(role="user", content="\x1b\x9b\u202e日\n", message_id="m")
    with anyio.fail_after(30):
        async with open_assistant(tmp_path / "store") as assistant:
            await assistant.store.append_messages("c", [odd])
            for conversation_id, contents in (("c", [odd.content]), ("empty", [])):
                output = io.StringIO()
                history = StoredHistory(assistant.store, conversation_id)
                messages = (message.to_wire() async for message in history.read())
                await write_document(output, {"format": "f", "conversation": {}}, messages)
                document = json.loads(output.getvalue())
                assert [message["content"] for message in document["messages"]] == contents
                assert document["format"] == "f"
                assert not set(output.getvalue()) & set("\x1b\x9b\u202e")


async def test_an_unknown_conversation_is_named_safely(tmp_path: Path) -> None:
    with anyio.fail_after(30):
        async with open_assistant(tmp_path / "store") as assistant:
            with pytest.raises(CommandError, match=r"no conversation \$'odd\\u000a\\u001b\[31mid'"):
                await load_facts(assistant.store, "odd\n\x1b[31mid")
