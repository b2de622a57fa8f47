"""The tools of an invented desk: what they are called, take and answer, always the same."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_TEXT = {"type": "string"}


@dataclass(frozen=True, slots=True)
class DeskTool:
    """One tool; it fails with its answer if it `fails`."""

    name: str
    description: str
    answer: str
    properties: Mapping[str, Any] = field(default_factory=dict[str, Any])
    required: tuple[str, ...] = ()
    fails: bool = False

    @property
    def input_schema(self) -> dict[str, Any]:
        """As MCP wants it."""
        needed = {"required": list(self.required)} if self.required else {}
        return {
            "type": "object",
            "properties": dict(self.properties),
            **needed,
            "additionalProperties": False,
        }


DESK_TOOLS = (
    DeskTool(
        "search_conversations",
        "Finds messages in the user's stored conversations by words: all of them must occur, "
        '"…" is a phrase, word* a prefix. Gives the conversation, the author and a snippet of each '
        "hit. Use it when the user asks what was said or written earlier, in another conversation.",
        "1 hit. conversation desk-7, user, 3 February: “The plumber comes on Friday because the "
        "**boiler** leaks again.”",
        {
            "query": {**_TEXT, "description": "Words to look for."},
            "limit": {
                "type": "integer",
                "minimum": 1,
                "maximum": 100,
                "default": 20,
                "description": "How many hits at most.",
            },
            "role": {
                "enum": ["user", "assistant", "tool", "system"],
                "description": "Only messages of this author.",
            },
        },
        ("query",),
    ),
    DeskTool(
        "list_reminders",
        "Lists the user's reminders that are not done yet.",
        "2 reminders: dentist on Tuesday at 9:30; water the plants on Thursday.",
    ),
    DeskTool(
        "weather",
        "The weather now and tomorrow at a place.",
        "The weather service did not answer within 10 seconds.",
        {"place": {**_TEXT, "description": "Name of a town."}},
        ("place",),
        fails=True,
    ),
    DeskTool(
        "convert_currency",
        "Converts an amount of money into another currency by today's rate.",
        "20 USD are 17.30 EUR.",
        {
            "amount": {"type": "number"},
            "from": {**_TEXT, "description": "Code such as USD."},
            "to": {**_TEXT, "description": "Code such as EUR."},
        },
        ("amount", "from", "to"),
    ),
    DeskTool(
        "send_mail",
        "Sends an e-mail in the user's name. It can't be taken back.",
        "The mail was sent.",
        {"to": {**_TEXT, "description": "An address."}, "subject": _TEXT, "text": _TEXT},
        ("to", "text"),
    ),
)
