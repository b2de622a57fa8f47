"""What the model is asked in each of its steps: choose a tool, fill it in, answer.

Small models use tools only when each question is a small one of its own. Everything that stays
the same stands first, so that the engine reads it once: reading is what takes time on a processor.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from client.llm.history import AssistantPiece, Piece, ResultsPiece, UserPiece, to_text
from client.llm.local.bounded_schema import to_bounded_schema
from client.llm.local.completions import Step
from client.llm.protocol import ModelRequest, ToolDefinition
from client.prompt_template import IDENTITY, NOW_BEGINS, TOOLS

REPLY = "reply"
"""The choice of no tool."""
MAX_CALLS = 4

_CHOOSE_TOKENS = 64
_FILL_TOKENS = 768
_MAX_LINE_CHARACTERS = 200
_MAX_EXAMPLES = 10
_MAX_QUESTION_CHARACTERS = 1_000
_MAX_RESULT_CHARACTERS = 3_000
_MAX_EARLIER_CHARACTERS = 300
_EARLIER_QUESTIONS = 2
_EARLIER_STEP = 4
"""So many are dropped at once: with each that is, those after it are read anew."""
_CHOOSING, _ANSWERING = 0, 1
"""The engine's slots."""
_CHOOSE = "You route the messages of a user. For each message name what is needed, one of:\n"
_REPLY_LINE = (
    f"- {REPLY}: no tool: greetings, chat, what users tell about themselves, known facts, "
    "arithmetic, translating, writing"
)
_CHAT_EXAMPLES = ("hi, how are you?", "I like green tea.", "write a poem about the sea")
_IDENTITY = "You are Agentic, a personal assistant that runs on the machine of its user."
_WHO_ARE_YOU = (
    "Who are you?",
    "I am Agentic, your personal assistant. I run on your own machine.",
)
_WHO_AM_I = (
    ("And who am I?", "You are the user. You haven't told me your name yet."),
    ("I am Kim.", "Hello Kim! Nice to meet you."),
    ("Who am I?", "You are Kim."),
    ("And who are you?", "I am Agentic, your personal assistant."),
    ("Kim has left. Now somebody else is here.", "Hello! What is your name?"),
)
"""Without such examples a small model takes its user's name for its own, or the other way round."""
_USE_RESULTS = "Use it to answer the user now."


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
            taken = short in by_name or short == REPLY
            by_name[tool.name if taken else short] = tool
        return cls(by_name)

    def name_of(self, tool_name: str) -> str:
        """The short name of a tool that was called, or `reply` if it is gone."""
        return next((n for n, tool in self.tools.items() if tool.name == tool_name), REPLY)


def ask_to_choose(choices: Choices, pieces: Sequence[Piece]) -> Step:
    """Which tool the last message needs, if any: its name or `reply`."""
    names = (REPLY, *choices.tools)
    return Step(_to_choosing(choices, pieces), _CHOOSE_TOKENS, _CHOOSING, choices=names)


def ask_to_fill_in(choices: Choices, chosen: str, pieces: Sequence[Piece]) -> Step:
    """The arguments for one to four calls of the chosen tool: `[{…}]`."""
    tool = choices.tools[chosen]
    one = to_bounded_schema(tool.input_schema)
    schema = {"type": "array", "items": one, "minItems": 1, "maxItems": MAX_CALLS}
    so_far = _to_choosing(choices, pieces)
    described = "\n".join(_describe_argument(name, one, tool) for name in one["properties"])
    question = (
        f"Arguments of {chosen}:\n{described or 'It takes none.'}\n"
        "Write them as [{…}], an object for each call, mostly one, for this message: "
        f"{so_far[-1]['content']}"
    )
    messages = [*so_far, _message("assistant", chosen), _message("user", question)]
    return Step(messages, _FILL_TOKENS, _CHOOSING, schema=schema)


def ask_to_answer(
    request: ModelRequest, pieces: Sequence[Piece], about_model: str, *, max_tokens: int
) -> Step:
    """The whole history, the tools' results in it, and no tools. `about_model`: in its words."""
    messages = [_message("system", _to_instructions(request))]
    for asked, answered in (_WHO_ARE_YOU, ("And who made you?", about_model), *_WHO_AM_I):
        messages += [_message("user", asked), _message("assistant", answered)]
    for piece in pieces:
        _add_piece(messages, piece)
    return Step(messages, max_tokens, _ANSWERING)


def _to_choosing(choices: Choices, pieces: Sequence[Piece]) -> list[dict[str, str]]:
    lines = [f"- {name}: {_one_line(tool.description)}" for name, tool in choices.tools.items()]
    messages = [_message("system", "\n".join([_CHOOSE + "\n".join(lines), _REPLY_LINE]))]
    for said, chosen in _examples(choices):
        messages += [_message("user", said), _message("assistant", chosen)]
    return messages + _to_questions(choices, pieces)


def _examples(choices: Choices) -> list[tuple[str, str]]:
    """Without them a small model chooses a tool for everything."""
    named = [
        (_one_line(tool.description).split(". ")[0].rstrip("."), name)
        for name, tool in list(choices.tools.items())[:_MAX_EXAMPLES]
        if tool.description.strip()
    ]
    first, *others = [(said, REPLY) for said in _CHAT_EXAMPLES]
    return [first, *named[:1], *others[:1], *named[1:], *others[1:]]


def _to_questions(choices: Choices, pieces: Sequence[Piece]) -> list[dict[str, str]]:
    """The last messages of the user, the earlier ones with what was chosen for them."""
    asked: list[tuple[str, str]] = []
    for piece in pieces:
        match piece:
            case UserPiece(parts):
                asked.append(("\n".join(map(to_text, parts)), REPLY))
            case AssistantPiece() if piece.calls and asked:
                asked[-1] = (asked[-1][0], choices.name_of(piece.calls[0].name))
            case _:
                pass
    messages: list[dict[str, str]] = []
    *earlier, (question, _) = asked
    dropped = max(0, len(earlier) - _EARLIER_QUESTIONS) // _EARLIER_STEP * _EARLIER_STEP
    for said, chosen in earlier[dropped:]:
        shown = _cut(said, _MAX_EARLIER_CHARACTERS)
        messages += [_message("user", shown), _message("assistant", chosen)]
    return [*messages, _message("user", _cut(question, _MAX_QUESTION_CHARACTERS))]


def _describe_argument(name: str, bounded: Mapping[str, Any], tool: ToolDefinition) -> str:
    given: object = tool.input_schema.get("properties", {}).get(name)
    description: object = ""
    if isinstance(given, Mapping):
        description = cast("Mapping[str, object]", given).get("description", "")
    needed = "needed" if name in bounded["required"] else "optional"
    kind = bounded["properties"][name].get("type", "value")
    return _one_line(f"- {name} ({kind}, {needed}): {description}")


def _add_piece(messages: list[dict[str, str]], piece: Piece) -> None:
    match piece:
        case UserPiece(parts):
            messages.append(_message("user", "\n\n".join(map(to_text, parts))))
        case AssistantPiece():
            # A call without words says nothing that its result does not.
            if piece.texts:
                messages.append(_message("assistant", "\n\n".join(piece.texts)))
        case ResultsPiece():
            _add_results(messages, piece)


def _add_results(messages: list[dict[str, str]], piece: ResultsPiece) -> None:
    """Below the user's own words: not every model's template knows tools, or two users in a row."""
    told: list[str] = []
    for result in piece.results:
        text = "\n".join(map(to_text, result.parts))[:_MAX_RESULT_CHARACTERS]
        how = "The tool failed and said" if result.is_error else "A tool answered"
        told.append(f"[{how}:]\n{text or '(nothing)'}")
    text = "\n\n".join([*told, f"[{_USE_RESULTS}]"])
    if messages[-1]["role"] == "user":
        messages[-1] = _message("user", f"{messages[-1]['content']}\n\n{text}")
    else:
        messages.append(_message("user", text))


def _to_instructions(request: ModelRequest) -> str:
    """The instructions, shorter: a small model loses itself in what is not for this step.

    Without the time, where a tool can be asked for it. They stand before everything else: with each
    change of theirs all of it would be read anew. And a model that is told two times, of two zones,
    mixes them up.
    """
    has_clock = any("time" in tool.name for tool in request.tools)
    left_out = (IDENTITY, TOOLS)
    kept = [
        paragraph
        for paragraph in request.instructions.split("\n\n")
        if paragraph not in left_out and not (has_clock and paragraph.startswith(NOW_BEGINS))
    ]
    return "\n\n".join([_IDENTITY, *kept])


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MAX_LINE_CHARACTERS else line[: _MAX_LINE_CHARACTERS - 1] + "…"


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[…]\n{text[-half:]}"
