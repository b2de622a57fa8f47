"""Whether the embedded model tells what a tool has done as done: its last step alone, at once.

The prompts were made with other acts before our eyes than these.
"""

import re
import sys

from client.llm.local.model import LocalModel
from client.llm.protocol import ModelRequest, ToolDefinition
from servers.conversations.contract import Message
from tests.bench.local_step import complete
from tests.bench.table import Row

_ACTS = (
    ("Lock the front door please", "lock", "OK", "lock"),
    ("Invite Ann and Bob to lunch tomorrow.", "invite", "2 invitations sent", "invit"),
    ("Move report.docx to the archive", "move", '{"ok": true}', "moved|archive"),
    ("Set a timer for 10 minutes", "timer", "Timer 3 runs until 14:20.", "10|14:20"),
    ("Print page 4", "print", "Job 12 queued", "print|queue|12"),
    ("Schalte das Licht im Flur ein.", "set_light", "ok", "Licht|light"),
    ("Envoie un message à Paul : je suis en route.", "send", "Sent.", "envoy|sent"),
    ("Restart the web server.", "restart", "restarted, pid 991", "restart"),
    ("Order a large pizza.", "order", "Order 77 accepted, ready in 25 minutes.", "77|25|order"),
    ("Who is on call today?", "on_call", "Dana, until 18:00", "Dana"),
    ("How many unread mails do I have?", "unread", "14", "14"),
    ("Transfer 50 euros to Eve.", "transfer", "done, new balance 310.20 EUR", "50|310"),
)
_DENIED = re.compile(r"sorry|can't|cannot|unable|leider|nicht|désolé|I am Agentic", re.IGNORECASE)
_GREETING = (
    Message(role="user", content="Good morning!"),
    Message(role="assistant", content="Hi!"),
)


async def count_denied(model: LocalModel) -> Row:
    """How many of the acts are told as something else, each first in a talk and after another."""
    denied = 0
    for before in ((), _GREETING):
        for said, tool, result, told in _ACTS:
            offered = (ToolDefinition(tool, "", {"type": "object", "properties": {}}),)
            messages = [*before, *_to_messages(said, tool, result)]
            answer = (await complete(model, ModelRequest("", messages, offered))).text
            wrong = bool(_DENIED.search(answer)) or not re.search(told, answer, re.IGNORECASE)
            denied += wrong
            verdict = "WRONG" if wrong else "right"
            print(f"> {said} [{result}]\n{answer} ({verdict})", file=sys.stderr, flush=True)
    return Row(f"acts told as something else, of {2 * len(_ACTS)}", denied, "")


def _to_messages(said: str, tool: str, result: str) -> list[Message]:
    call: dict[str, object] = {"type": "tool_use", "id": "call", "name": tool, "input": {}}
    return [
        Message(role="user", content=said),
        Message(role="assistant", content=[call]),
        Message(role="tool", tool_call_id="call", content=result),
    ]
