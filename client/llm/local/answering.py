"""The step that answers, from the talk so far and the tools' results in it."""

from collections.abc import Sequence

from client.llm.history import AssistantPiece, Piece, ResultsPiece, UserPiece, to_text
from client.llm.local.completions import Slot, Step, to_message
from client.llm.local.excerpts import to_excerpt
from client.llm.protocol import ModelRequest
from client.prompt_template import IDENTITY, NOW_BEGINS, TOOLS

_MAX_RESULTS_TOKENS = 100
"""Of all results of a step, about: they are read in two seconds on two slow cores."""
_IDENTITY = (
    "You are Agentic, a personal assistant that runs on the machine of its user.\n\n"
    "The user is the person who writes to you: “I”, “me” and “my” in a message mean the user, so "
    "answer with “you” and “your”. You know about the user only what the messages say; what they "
    "have not told you, you do not know."
)
_WHO_ARE_YOU = (
    "Who are you?",
    "I am Agentic, your personal assistant. I run on your own machine.",
)
_WHO_AM_I = ("Who am I?", "You haven't told me your name yet.")
"""Examples hold no names: a small model would take them for its user's."""

_READ = (
    "A tool answered",
    "Answer just what was asked, in one short sentence.",
)
"""Asked for less, it says again all that it read, and each word takes its time."""
_ACTED = (
    "This was done with a tool. It answered",
    "Tell the user just that it is done, as short as you can.",
)
_FAILED = (
    "A tool failed and said",
    "Tell the user now that this could not be done, and for which reason.",
)
_DONE = (
    f"Turn the heating down.\n\n[{_ACTED[0]}:]\nok\n[{_ACTED[1]}]",
    "The heating is turned down.",
)
"""Without it, what a tool has done is told as what an assistant can't do, more often than not.

Not the last one: then it repeats what users tell about themselves as if it were about it.
"""
_CLOCK_SAID = "it is 09:05, Tuesday 2025-03-04."
_FOUND = (
    (
        f"How late is it in UTC?\n\n[{_READ[0]}:]\nIn UTC {_CLOCK_SAID}\n[{_READ[1]}]",
        "It is 09:05 in UTC.",
    ),
    (
        f"Which day is it?\n\n[{_READ[0]}:]\nHere (UTC) {_CLOCK_SAID}\n[{_READ[1]}]",
        "It is Tuesday, 2025-03-04.",
    ),
)
"""Without them it says the date of each place whose time was asked for, and takes twice as long.
After a Spanish answer it went on in Spanish."""
_TOLD = (
    ("I moved to another town.", "You moved to another town: how do you like it there?"),
    ("I work as a gardener.", "So you work as a gardener. What can I do for you?"),
)
"""Without them it repeats every fourth introduction as if it were its own: “I am Ada”."""


def ask_to_answer(
    request: ModelRequest,
    pieces: Sequence[Piece],
    about_model: str,
    *,
    max_tokens: int,
    note: str | None = None,
) -> Step:
    """The whole history, the tools' results in it, and no tools. `about_model`: in its words.

    `note`: what to keep in mind for this answer.
    """
    messages = [to_message("system", _to_instructions(request))]
    who_made_you = ("And who made you?", about_model)
    examples = (_DONE, *_FOUND, *_TOLD, _WHO_ARE_YOU, who_made_you, _WHO_AM_I)
    for asked, answered in examples:
        messages += [to_message("user", asked), to_message("assistant", answered)]
    question, acted = "", True
    for piece in pieces:
        match piece:
            case UserPiece(parts):
                question = "\n".join(map(to_text, parts))
                messages.append(to_message("user", "\n\n".join(map(to_text, parts))))
            case AssistantPiece():
                acted = has_acted(request, piece)
                # A call without words says nothing that its result does not.
                if piece.texts:
                    messages.append(to_message("assistant", "\n\n".join(piece.texts)))
            case ResultsPiece():
                _add_results(messages, piece, question, _ACTED if acted else _READ)
    if note is not None:
        _add_to_user(messages, f"[{note}]")
    return Step(messages, max_tokens, Slot.ANSWERING)


def has_acted(request: ModelRequest, called: AssistantPiece) -> bool:
    """Whether any of the tools called may have changed something."""
    read_only = {tool.name for tool in request.tools if tool.read_only}
    return not all(call.name in read_only for call in called.calls)


def _add_results(
    messages: list[dict[str, str]], piece: ResultsPiece, question: str, worked: tuple[str, str]
) -> None:
    """`worked`: what is said above and below the results of calls that did."""
    told: dict[bool, list[str]] = {False: [], True: []}
    most = _MAX_RESULTS_TOKENS // len(piece.results)
    for result in piece.results:
        text = to_excerpt("\n".join(map(to_text, result.parts)), question, most)
        told[result.is_error].append(text or "(nothing)")
    shown: list[str] = []
    for failed, texts in told.items():
        if texts:
            said, wanted = _FAILED if failed else worked
            shown += [f"[{said}:]", *texts, f"[{wanted}]"]
    _add_to_user(messages, "\n".join(shown))


def _add_to_user(messages: list[dict[str, str]], text: str) -> None:
    """Below the user's own words: not every model's template knows tools, or two users in a row."""
    if messages[-1]["role"] == "user":
        messages[-1] = to_message("user", f"{messages[-1]['content']}\n\n{text}")
    else:
        messages.append(to_message("user", text))


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
