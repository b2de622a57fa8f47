"""Whether the embedded model picks the right tool of the conversations' own, as they describe it.

Each question stands alone; what counts is the first tool that is called, not its arguments.
"""

import sys
from collections.abc import Sequence

from client.llm.local.model import LocalModel
from client.llm.protocol import ModelRequest, ToolDefinition
from servers.conversations.contract import Message
from tests.bench.local_step import complete
from tests.bench.table import Row

_ASKED = (
    ("What did I say about the boiler in an earlier conversation?", "search_conversations"),
    ("Which conversations do I have?", "list_conversations"),
    ("Show me the messages of the conversation trip-2026.", "load_conversation"),
    ("When was the conversation trip-2026 begun, and which tags does it have?",
     "get_conversation"),
    ("Give the conversation trip-2026 the title Journey to Oslo.", "update_conversation"),
    ("Delete the conversation trip-2026 for good.", "delete_conversation"),
    ("Make a copy of the conversation trip-2026 that I can go on with.", "fork_conversation"),
    ("Put the conversations trip-2025 and trip-2026 together into one.", "merge_conversations"),
    ("Export the conversation trip-2026 as Markdown.", "export_conversation"),
    ("Which files are attached to the conversation trip-2026?", "list_attachments"),
    ("Which messages are still waiting for their delivery?", "list_deliveries"),
    ("Mark message m7 of the conversation trip-2026 as good: feedback thumbs up.",
     "annotate_message"),
    ("Good morning!", ""),
    ("What is the capital of Norway?", ""),
)  # fmt: skip


async def count_misled(model: LocalModel, tools: Sequence[ToolDefinition]) -> Row:
    """How many questions get another tool than the one for them, or one without need."""
    wrong = 0
    for said, wanted in _ASKED:
        request = ModelRequest("", [Message(role="user", content=said)], tools)
        calls = (await complete(model, request)).tool_calls
        called = calls[0].name.partition("__")[2] if calls else ""
        wrong += called != wanted
        verdict = "right" if called == wanted else f"WRONG, not {wanted or 'nothing'}"
        print(f"> {said}\n{called or 'nothing'} ({verdict})", file=sys.stderr, flush=True)
    return Row(
        f"picked another tool than the right one of {len(tools)}, of {len(_ASKED)}", wrong, ""
    )
