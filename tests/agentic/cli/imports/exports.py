"""Account exports as the vendors write them, small; and what reading a file gives."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

from agentic.cli.imports.reading import Format, read_conversations
from agentic.cli.imports.source import Source
from agentic.cli.imports.tally import Tally
from servers.conversations.contract import Message

T0 = 1_765_671_790.25
"""2025-12-14T00:23:10.250000Z"""


@dataclass(frozen=True, slots=True)
class Taken:
    """A conversation that was read."""

    conversation_id: str
    facts: dict[str, Any]
    messages: list[Message]

    def said(self) -> list[tuple[str, Any]]:
        return [(message.role, message.content) for message in self.messages]

    def texts(self) -> list[str]:
        """Of the blocks of the first message."""
        content = self.messages[0].content
        assert isinstance(content, list)
        return [block["text"] for block in content]


def read(path: Path, wanted: Format = "auto") -> tuple[list[Taken], Tally]:
    """All conversations of a file, read in a worker thread as by the command."""
    tally = Tally()

    def read_all() -> list[Taken]:
        return [
            Taken(found.conversation_id, found.facts, list(found.messages))
            for found in read_conversations(Source(path), wanted, tally)
        ]

    return anyio.run(to_thread.run_sync, read_all), tally


def marked(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Messages of our own document as they are stored: all that they were, and imported."""
    return [
        {**each, "annotations": {"imported": True, **each.get("annotations", {})}}
        for each in messages
    ]


def chatgpt_message(text: Any, role: str = "user", **more: Any) -> dict[str, Any]:
    """A message; `text` may be a whole `content`. `name` is the author's."""
    content: Any = {"content_type": "text", "parts": [text]} if isinstance(text, str) else text
    author: dict[str, Any] = {"role": role, "name": more.pop("name", None), "metadata": {}}
    return {
        "author": author,
        "create_time": T0,
        "update_time": None,
        "content": content,
        "status": "finished_successfully",
        "end_turn": True,
        "weight": 1.0,
        "metadata": {},
        "recipient": "all",
        "channel": None,
        **more,
    }


def chatgpt_conversation(*messages: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    """One thread of `messages` below an empty root; nodes are `n0`, `n1`, …"""
    mapping: dict[str, Any] = {"root": {"id": "root", "message": None, "parent": None}}
    before = "root"
    for number, message in enumerate(messages):
        name = f"n{number}"
        identified = message and {"id": f"m{number}", **message}
        mapping[name] = {"id": name, "message": identified, "parent": before, "children": []}
        mapping[before]["children"] = [name]
        before = name
    return {
        "title": "Garden",
        "create_time": T0,
        "update_time": T0 + 60,
        "mapping": mapping,
        "moderation_results": [],
        "current_node": before,
        "plugin_ids": None,
        "conversation_id": "67aa-c0de",
        "id": "67aa-c0de",
        "gizmo_id": None,
        "is_archived": False,
        **more,
    }


def claude_message(sender: str, *blocks: Any, **more: Any) -> dict[str, Any]:
    """A message of these blocks, or texts."""
    content = [
        {"start_timestamp": None, "stop_timestamp": None, "type": "text", "text": block}
        if isinstance(block, str)
        else block
        for block in blocks
    ]
    return {
        "uuid": f"u-{sender}-{len(str(blocks))}",
        "text": "".join(block for block in blocks if isinstance(block, str)),
        "content": content,
        "sender": sender,
        "created_at": "2025-05-01T10:00:00.123456Z",
        "updated_at": "2025-05-01T10:00:00.123456Z",
        "attachments": [],
        "files": [],
        **more,
    }


def claude_conversation(*messages: Any, **more: Any) -> dict[str, Any]:
    return {
        "uuid": "5b1e-aaaa",
        "name": "Trees",
        "summary": "",
        "created_at": "2025-05-01T09:59:59.000000Z",
        "updated_at": "2025-05-01T10:01:00.000000Z",
        "account": {"uuid": "a-1"},
        "chat_messages": list(messages),
        **more,
    }


def write_json(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def write_zip(path: Path, members: dict[str, Any]) -> Path:
    """A zip; values that are no bytes are written as JSON."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in members.items():
            archive.writestr(name, value if isinstance(value, bytes) else json.dumps(value))
    return path


def own_document(count: int = 2, **facts: Any) -> dict[str, Any]:
    """What `agentic conversations export` writes."""
    messages = [
        {
            "message_id": f"t{n - n % 2}" + ("/1" if n % 2 else ""),
            "role": ("user", "assistant")[n % 2],
            "content": f"text {n} é日",
            "turn_id": f"t{n - n % 2}",
            "created_at": "2026-01-02T03:04:05.678901Z",
            "annotations": {"delivery": {"state": "delivered"}},
        }
        for n in range(count)
    ]
    conversation = {
        "conversation_id": "telegram:42",
        "owner": "somebody",
        "title": "Tea",
        "tags": ["hot"],
        "metadata": {"big": 123456789012345678901234567890, "exact": 0.1},
        "created_at": "2026-01-01T00:00:00.000000Z",
        "last_updated": "2026-01-02T03:04:05.678901Z",
        "message_count": count,
        "version": 7,
        "expires_at": None,
        **facts,
    }
    return {"format": "agentic-conversation/1", "conversation": conversation, "messages": messages}
