"""The step that chooses: whether a message needs a tool, which one, and with what arguments.

Small models use tools only when that is a question of its own. Everything that stays the same
stands first, what is to be known of arguments too, so that the engine reads it once: reading is
what takes time on a processor.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from client.llm.history import AssistantPiece, Call, Piece, UserPiece, to_text
from client.llm.local.call_shape import CallShape
from client.llm.local.completions import Slot, Step, to_message
from client.llm.local.grammar import to_grammar
from client.llm.local.shortening import cut, to_line
from client.llm.protocol import ToolDefinition

REPLY = "reply"
"""The choice of no tool."""
ABOUT_USER = "about_user"
"""The choice of no tool for questions that are answered by what the user has told."""
ABOUT_ASSISTANT = "about_assistant"
"""The same as `reply`: without a choice of its own it is taken for the other one."""
NO_TOOL = (REPLY, ABOUT_USER, ABOUT_ASSISTANT)

_CHOOSE_TOKENS = 768
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
    ("Do you remember what I'm called?", ABOUT_USER),
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

_EXAMPLES_OF_TOOLS: Sequence[tuple[str, str, Sequence[Mapping[str, str]]]] = (
    ("Wie spät ist es in Lima?", "current_time", [{"timezone": "America/Lima"}]),
    (
        "My aunt lives in Quito. How late is it there, and in UTC?",
        "current_time",
        [{"timezone": "America/Guayaquil"}, {"timezone": "UTC"}],
    ),
    ("Which day is it?", "current_time", [{}]),
    ("Where did we talk about the garden?", "search_conversations", [{"query": "garden"}]),
)
"""For our own, in place of their descriptions: in words of a user, and not only in English."""

ChosenBefore = Callable[[str], str]
"""What was chosen for an earlier message of the user for which no tool was called."""


@dataclass(frozen=True, slots=True)
class Choices:
    """The tools by the short names that the model chooses from, and what is filled in for each."""

    tools: Mapping[str, ToolDefinition]
    shapes: Mapping[str, CallShape]

    @classmethod
    def of(cls, tools: Sequence[ToolDefinition]) -> "Choices":
        """Names without their servers', where that leaves them different."""
        by_name: dict[str, ToolDefinition] = {}
        for tool in tools:
            short = tool.name.partition("__")[2] or tool.name
            taken = short in by_name or short in NO_TOOL
            by_name[tool.name if taken else short] = tool
        shapes = {name: CallShape.of(tool.input_schema) for name, tool in by_name.items()}
        return cls(by_name, shapes)

    def name_of(self, tool_name: str) -> str:
        """The short name of a tool that was called, or `reply` if it is gone."""
        return next((n for n, tool in self.tools.items() if tool.name == tool_name), REPLY)


def ask_to_choose(
    choices: Choices, pieces: Sequence[Piece], chosen_before: ChosenBefore = lambda _: REPLY
) -> Step:
    """What the last message needs: a choice of no tool, or a tool's name and its calls after it."""
    messages = [*_to_beginning(choices), *_to_questions(choices, pieces, chosen_before)]
    grammar = to_grammar({**dict.fromkeys(NO_TOOL), **choices.shapes})
    return Step(messages, _CHOOSE_TOKENS, Slot.CHOOSING, grammar=grammar)


def find_question(pieces: Sequence[Piece]) -> str:
    """What the user said last."""
    return next((_to_said(p) for p in reversed(pieces) if isinstance(p, UserPiece)), "")


def _to_beginning(choices: Choices) -> list[dict[str, str]]:
    lines = [_describe(name, tool, choices.shapes[name]) for name, tool in choices.tools.items()]
    messages = [to_message("system", _CHOOSE + "\n".join([*lines, _WITHOUT_TOOLS]))]
    for said, chosen in _to_examples(choices):
        messages += [to_message("user", said), to_message("assistant", chosen)]
    return messages


def _to_examples(choices: Choices) -> list[tuple[str, str]]:
    """Without them a small model chooses a tool for everything."""
    ours = [
        (said, name, calls)
        for said, name, calls in _EXAMPLES_OF_TOOLS
        if name in choices.tools
        and all(call.keys() <= choices.shapes[name].properties.keys() for call in calls)
    ]
    named = [
        (to_line(tool.description).split(". ")[0].rstrip("."), name)
        for name, tool in list(choices.tools.items())[:_MAX_EXAMPLES]
        if tool.description.strip() and name not in (mine for _, mine, _ in ours)
    ]
    more = [(said, _write_calls(choices, name, calls)) for said, name, calls in ours]
    return [
        *_EXAMPLES[:3],
        *named,
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
                asked[-1] = (asked[-1][0], _to_written(choices, piece.calls))
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


def _to_written(choices: Choices, calls: Sequence[Call]) -> str:
    """Calls as this model writes them."""
    name = choices.name_of(calls[0].name)
    if name == REPLY:
        return name
    alike = [call.arguments for call in calls if call.name == calls[0].name]
    return _write_calls(choices, name, alike)


def _write_calls(choices: Choices, name: str, calls: Sequence[Mapping[str, object]]) -> str:
    return f"{name}{choices.shapes[name].write(calls)}"


def _describe(name: str, tool: ToolDefinition, shape: CallShape) -> str:
    arguments = "".join(
        f"\n  - {argument}{'' if shape.needed else ' (optional)'}: "
        f"{_describe_argument(argument, tool)}"
        for argument in shape.properties
    )
    return f"- {name}: {to_line(tool.description)}{arguments}"


def _describe_argument(name: str, tool: ToolDefinition) -> str:
    given: object = tool.input_schema.get("properties", {}).get(name)
    description: object = ""
    if isinstance(given, Mapping):
        description = cast("Mapping[str, object]", given).get("description", "")
    return to_line(str(description))
