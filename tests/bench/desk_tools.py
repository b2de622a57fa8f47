"""The tools of an invented desk: what they are called, take and answer, always the same."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_TEXT = {"type": "string"}


@dataclass(frozen=True, slots=True)
class DeskTool:
    """One tool; it fails with its answer if it `fails`, and changes something if it `writes`."""

    name: str
    description: str
    answer: str
    properties: Mapping[str, Any] = field(default_factory=dict[str, Any])
    required: tuple[str, ...] = ()
    fails: bool = False
    writes: bool = False

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
        writes=True,
    ),
)

_PAGE = (
    "The town museum shows ships, maps and instruments of four centuries. "
    + "Its halls are open to everybody, and each of them tells of another sea. " * 12
    + "\nOpening hours: Tuesday to Sunday from 10 to 18, closed on Mondays.\n"
    + "Schools are asked to write a week before they come. " * 12
    + "\nAdmission: 8 euros, children free.\n"
    + "The café has a view of the harbour, where old boats lie all year. " * 12
)
_FILES = json.dumps(
    {
        "files": [
            {
                "id": f"8f14e45f-ceea-467f-a9b0-9f3b7c1f{number:04}",
                "name": f"{name}.pdf",
                "size": 1_000 * number,
                "changed_at": f"2026-03-{number:02}T10:33:12.123456Z",
                "owner": None,
            }
            for number, name in enumerate(
                ("tax", "lease", "menu", "route", "recipe", "insurance", "thesis", "poster"), 11
            )
        ]
        * 2,
        "truncated": False,
    }
)

OFFICE_TOOLS = (
    DeskTool(
        "book_room",
        "Books a meeting room.",
        "Booked: room Oak, number 4711.",
        {
            "room": {**_TEXT, "description": "Its name."},
            "date": {**_TEXT, "format": "date"},
            "start": {**_TEXT, "description": "Such as 09:30."},
            "minutes": {"type": "integer", "minimum": 1, "maximum": 480},
            "people": {"type": "integer", "minimum": 1, "maximum": 50},
            "title": {**_TEXT, "description": "What the meeting is about."},
        },
        ("room", "date", "start", "minutes", "people", "title"),
        writes=True,
    ),
    DeskTool(
        "read_page",
        "Reads a page of the web and gives its text.",
        _PAGE,
        {"address": {**_TEXT, "description": "Its https address."}},
        ("address",),
    ),
    DeskTool("list_files", "Lists the user's files.", _FILES),
    DeskTool("delete_file", "Deletes a file.", "Deleted.", {"name": _TEXT}, ("name",), writes=True),
    DeskTool(
        "rename_file",
        "Gives a file another name.",
        "Renamed.",
        {"name": _TEXT, "new_name": _TEXT},
        ("name", "new_name"),
        writes=True,
    ),
    DeskTool(
        "add_reminder",
        "Adds a reminder for the user.",
        "Added.",
        {"text": {**_TEXT, "description": "What to remind of."}, "day": _TEXT},
        ("text", "day"),
        writes=True,
    ),
    *DESK_TOOLS[1:],
)
"""Eleven, with the clock twelve: with many parameters, and with long answers."""
SETS = {"desk": DESK_TOOLS, "office": OFFICE_TOOLS}
