"""The steps that choose: whether a message needs a tool, which one, and with what arguments.

Small models use tools only when each question is a small one of its own. Everything that stays
the same stands first, so that the engine reads it once: reading is what takes time on a processor.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from client.llm.history import AssistantPiece, Piece, UserPiece, to_text
from client.llm.local.bounded_schema import to_bounded_schema
from client.llm.local.completions import Slot, Step, to_message
from client.llm.local.shortening import cut, to_line
from client.llm.protocol import ToolDefinition

REPLY = "reply"
"""The choice of no tool."""
ABOUT_USER = "about_user"
"""The choice of no tool for questions that are answered by what the user has told."""
ABOUT_ASSISTANT = "about_assistant"
"""The same as `reply`: without a choice of its own it is taken for the other one."""
NO_TOOL = (REPLY, ABOUT_USER, ABOUT_ASSISTANT)
MAX_CALLS = 4

_CHOOSE_TOKENS = 64
_FILL_TOKENS = 768
_MAX_EXAMPLES = 10
_MAX_QUESTION_CHARACTERS = 1_000
_MAX_EARLIER_CHARACTERS = 300
_EARLIER_QUESTIONS = 2
_EARLIER_STEP = 4
"""So many are dropped at once: with each that is, those after it are read anew."""
_CHOOSE = (
    "You route the messages of a user, in any language. For each message name what is needed, one "
    "of:\n"
)
_WITHOUT_TOOLS = (
    f"- {ABOUT_USER}: the user asks for what they have told about themselves: who they are, their "
    "own name, home, likes\n"
    f"- {ABOUT_ASSISTANT}: the user asks who or what you are, who made you, what you can do\n"
    f"- {REPLY}: everything else: greetings, chat, thanks, what users tell about themselves, "
    "general knowledge, arithmetic, translating, writing"
)
_EXAMPLES = (
    ("hi, how are you?", REPLY),
    ("What's my name?", ABOUT_USER),
    ("My name is Maria. I like tea.", REPLY),
    ("how many legs has a spider?", REPLY),
    ("Wo wohne ich?", ABOUT_USER),
    ("What's the largest town of Peru?", REPLY),
    ("write a poem about the sea", REPLY),
    ("Who am I?", ABOUT_USER),
    ("Who are you?", ABOUT_ASSISTANT),
    ("8 * 7 + 1?", REPLY),
    ("Hallo, ich bin Luc.", REPLY),
    ("Wie sagt man 'thank you' auf Deutsch?", REPLY),
)
"""The names in them lead nowhere: nothing but a choice can be written here."""

_EXAMPLES_OF_TOOLS = {
    "current_time": "Wie spät ist es in Lima?",
    "search_conversations": "Where did we talk about the garden?",
}
"""For our own, beside their descriptions: in words of a user, and not only in English."""

ChosenBefore = Callable[[str], str]
"""What was chosen for an earlier message of the user for which no tool was called."""


@dataclass(frozen=True, slots=True)
class Choices:
    """The tools by the short names that the model chooses from."""

    tools: Mapping[str, ToolDefinition]

    @classmethod
    def of(cls, tools: Sequence[ToolDefinition]) -> "Choices":
        """Names without their servers', where that leaves them different."""
        by_name: dict[str, ToolDefinition] = {}
        for tool in tools:
            short = tool.name.partition("__")[2] or tool.name
            taken = short in by_name or short in NO_TOOL
            by_name[tool.name if taken else short] = tool
        return cls(by_name)

    def name_of(self, tool_name: str) -> str:
        """The short name of a tool that was called, or `reply` if it is gone."""
        return next((n for n, tool in self.tools.items() if tool.name == tool_name), REPLY)


def ask_to_choose(
    choices: Choices, pieces: Sequence[Piece], chosen_before: ChosenBefore = lambda _: REPLY
) -> Step:
    """Which tool the last message needs, if any: its name, `about_user` or `reply`."""
    names = (*NO_TOOL, *choices.tools)
    messages = [*_to_beginning(choices), *_to_questions(choices, pieces, chosen_before)]
    return Step(messages, _CHOOSE_TOKENS, Slot.CHOOSING, choices=names)


def find_question(pieces: Sequence[Piece]) -> str:
    """What the user said last."""
    return next((_to_said(p) for p in reversed(pieces) if isinstance(p, UserPiece)), "")


def takes_arguments(tool: ToolDefinition) -> bool:
    """There is something to fill in."""
    return bool(to_bounded_schema(tool.input_schema)["properties"])


def ask_to_fill_in(choices: Choices, chosen: str, asked: Step) -> Step:
    """The arguments for one to four calls of the tool `chosen` when `asked`: `[{…}]`."""
    tool = choices.tools[chosen]
    one = to_bounded_schema(tool.input_schema)
    schema = {"type": "array", "items": one, "minItems": 1, "maxItems": MAX_CALLS}
    described = "\n".join(_describe_argument(name, one, tool) for name in one["properties"])
    question = (
        f"Arguments of {chosen}:\n{described}\n"
        f"Write [{{…}}], one object for each call, for: {asked.messages[-1]['content']}"
    )
    messages = [
        *asked.messages,
        to_message("assistant", chosen),
        to_message("user", question),
    ]
    return Step(messages, _FILL_TOKENS, Slot.CHOOSING, schema=schema)


def _to_beginning(choices: Choices) -> list[dict[str, str]]:
    lines = [f"- {name}: {to_line(tool.description)}" for name, tool in choices.tools.items()]
    messages = [to_message("system", _CHOOSE + "\n".join([*lines, _WITHOUT_TOOLS]))]
    for said, chosen in _to_examples(choices):
        messages += [to_message("user", said), to_message("assistant", chosen)]
    return messages


def _to_examples(choices: Choices) -> list[tuple[str, str]]:
    """Without them a small model chooses a tool for everything."""
    named = [
        (to_line(tool.description).split(". ")[0].rstrip("."), name)
        for name, tool in list(choices.tools.items())[:_MAX_EXAMPLES]
        if tool.description.strip()
    ]
    more = [(said, name) for name, said in _EXAMPLES_OF_TOOLS.items() if name in choices.tools]
    return [
        *_EXAMPLES[:1],
        *named[:1],
        *_EXAMPLES[1:3],
        *named[1:],
        *_EXAMPLES[3:5],
        *more,
        *_EXAMPLES[5:],
    ]


def _to_questions(
    choices: Choices, pieces: Sequence[Piece], chosen_before: ChosenBefore
) -> list[dict[str, str]]:
    """The last messages of the user, the earlier ones with what was chosen for them."""
    asked: list[tuple[str, str]] = []
    for piece in pieces:
        match piece:
            case UserPiece():
                asked.append((_to_said(piece), chosen_before(_to_said(piece))))
            case AssistantPiece() if piece.calls and asked:
                asked[-1] = (asked[-1][0], choices.name_of(piece.calls[0].name))
            case _:
                pass
    messages: list[dict[str, str]] = []
    *earlier, (question, _) = asked
    dropped = max(0, len(earlier) - _EARLIER_QUESTIONS) // _EARLIER_STEP * _EARLIER_STEP
    for said, chosen in earlier[dropped:]:
        shown = cut(said, _MAX_EARLIER_CHARACTERS)
        messages += [to_message("user", shown), to_message("assistant", chosen)]
    return [*messages, to_message("user", cut(question, _MAX_QUESTION_CHARACTERS))]


def _to_said(piece: UserPiece) -> str:
    return "\n".join(map(to_text, piece.parts))


def _describe_argument(name: str, bounded: Mapping[str, Any], tool: ToolDefinition) -> str:
    given: object = tool.input_schema.get("properties", {}).get(name)
    description: object = ""
    if isinstance(given, Mapping):
        description = cast("Mapping[str, object]", given).get("description", "")
    optional = "" if name in bounded["required"] else " (optional)"
    return to_line(f"- {name}{optional}: {description}")
