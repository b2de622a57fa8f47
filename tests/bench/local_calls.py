"""Whether the embedded model fills in what a tool needs: each value where it belongs.

Tools and questions were made for this count alone; each question stands by itself.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from client.llm.local.model import LocalModel
from client.llm.protocol import ModelRequest, ToolDefinition
from servers.conversations.contract import Message
from tests.bench.desk_tools import OFFICE_TOOLS
from tests.bench.local_step import complete
from tests.bench.table import Row

_TEXT = {"type": "string"}
_TIME = {"type": "string", "format": "date-time"}
_NUMBER = {"type": "number"}


def _tool(description: str, name: str, **needed: Mapping[str, Any]) -> ToolDefinition:
    schema = {"type": "object", "properties": needed, "required": list(needed)}
    return ToolDefinition(f"home__{name}", description, schema)


_HOME = (
    _tool("Transfers money.", "transfer", amount=_NUMBER, to=_TEXT, reason=_TEXT),
    _tool("Plays music in a room.", "play", room=_TEXT, artist=_TEXT),
    _tool("Create a calendar event", "create_event", title=_TEXT, start=_TIME, end=_TIME),
    _tool("Translates a text.", "translate", text=_TEXT, target_language=_TEXT),
    _tool("Finds flights.", "find_flight",
          to=_TEXT, **{"from": _TEXT}, date={"type": "string", "format": "date"}),
    _tool("Switches a light.", "set_light", room=_TEXT, on={"type": "boolean"}),
    _tool("Sets a timer.", "set_timer", minutes={"type": "integer", "minimum": 1}),
    _tool("Adds something to a list.", "add_item",
          list={"enum": ["shopping", "work", "garden"]}, item=_TEXT),
)  # fmt: skip
_OFFICE = tuple(
    ToolDefinition(f"desk__{tool.name}", tool.description, tool.input_schema)
    for tool in OFFICE_TOOLS
)
Asked = tuple[str, str, Mapping[str, object]]
_AT_HOME: Sequence[Asked] = (
    ("Transfer 50 euros to Eve for the concert.", "transfer",
     {"amount": 50, "to": "eve", "reason": "concert"}),
    ("Play Mozart in the kitchen", "play", {"room": "kitchen", "artist": "mozart"}),
    ("I want to hear the Beatles in the living room.", "play",
     {"room": "living", "artist": "beatles"}),
    ("Put dinner with Tom into my calendar on 2026-12-04 from 19:00 to 21:00.", "create_event",
     {"title": "dinner", "start": "2026-12-04t19:00", "end": "2026-12-04t21:00"}),
    ("Find a flight from Berlin to Oslo on 2026-12-20.", "find_flight",
     {"to": "oslo", "from": "berlin", "date": "2026-12-20"}),
    ("Gibt es am 2027-01-02 einen Flug von Wien nach Rom?", "find_flight",
     {"to": "rom", "from": "wien", "date": "2027-01-02"}),
    ("Turn the light in the hall off.", "set_light", {"room": "hall", "on": False}),
    ("Mach das Licht im Bad an.", "set_light", {"room": "bad", "on": True}),
    ("Set a timer for 25 minutes.", "set_timer", {"minutes": 25}),
    ("Put milk on the shopping list.", "add_item", {"list": "shopping", "item": "milk"}),
)  # fmt: skip
_AT_THE_OFFICE: Sequence[Asked] = (
    ("Please reserve Elm on 2026-12-10 from 9:00, one hour, for 12 of us, it is the quarterly "
     "review.", "book_room",
     {"room": "elm", "date": "2026-12-10", "minutes": 60, "people": 12, "title": "quarterly"}),
    ("Ich brauche den Raum Linde am 2027-01-05 um 10:15 für 30 Minuten, 4 Personen, Thema: "
     "Urlaub.", "book_room",
     {"room": "linde", "date": "2027-01-05", "start": "10:15", "minutes": 30, "people": 4}),
    ("Convert 250 EUR to Swiss francs.", "convert_currency",
     {"amount": 250, "from": "eur", "to": "chf"}),
    ("Remind me on Friday to call the bank.", "add_reminder", {"text": "bank", "day": "friday"}),
    ("Erinnere mich am Montag daran, Milch zu kaufen.", "add_reminder",
     {"text": "milch", "day": "mon"}),
    ("Tell bob@example.net by mail that I am late.", "send_mail",
     {"to": "bob@example.net", "text": "late"}),
    ("The file old.pdf should be called new.pdf.", "rename_file",
     {"name": "old.pdf", "new_name": "new.pdf"}),
    ("Delete thesis.pdf.", "delete_file", {"name": "thesis.pdf"}),
    ("How is the weather in Porto?", "weather", {"place": "porto"}),
    ("What stands on https://example.org/menu ?", "read_page",
     {"address": "https://example.org/menu"}),
)  # fmt: skip


async def count_misfilled(model: LocalModel) -> Row:
    """How many questions get anything else than one call, of their tool, with all of its values."""
    wrong = 0
    for tools, questions in ((_HOME, _AT_HOME), (_OFFICE, _AT_THE_OFFICE)):
        for said, name, wanted in questions:
            request = ModelRequest("", [Message(role="user", content=said)], tools)
            calls = (await complete(model, request)).tool_calls
            called = [(call.name.partition("__")[2], call.arguments or {}) for call in calls]
            right = len(called) == 1 and called[0][0] == name and _has(called[0][1], wanted)
            wrong += not right
            verdict = "right" if right else f"WRONG, not {name} {dict(wanted)}"
            print(f"> {said}\n{called} ({verdict})", file=sys.stderr, flush=True)
    return Row(f"filled in wrong, of {len(_AT_HOME) + len(_AT_THE_OFFICE)}", wrong, "")


def _has(arguments: Mapping[str, Any], wanted: Mapping[str, object]) -> bool:
    """Numbers as they are; of a text what it must hold."""
    return all(
        value in str(arguments.get(name)).casefold()
        if isinstance(value, str)
        else arguments.get(name) == value
        for name, value in wanted.items()
    )
