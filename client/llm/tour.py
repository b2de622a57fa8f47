"""The scripted tour, for people without a model: a tool, the history, and what to do next."""

import re
from collections.abc import Sequence

from client.llm.protocol import Completion, ModelRequest, ToolCall, ToolDefinition
from client.llm.script_file import split_turn
from client.llm.scripted import ScriptedModel
from servers.conversations.contract import Message

_LABEL = "**Scripted tour:** no language model is answering, these texts are fixed."
_TIME = re.compile(r"\btime\b|\bclock\b", re.IGNORECASE)
_MEMORY = re.compile(r"\b(remember|earlier|history|memory|did i (say|write))\b", re.IGNORECASE)
_ZONE = re.compile(r"\b[A-Z][A-Za-z]+/[A-Z][A-Za-z_]+\b")
_MAX_QUOTE_CHARACTERS = 200

_MENU = """\
Two things can be tried here:

- `What time is it in Europe/Paris?` calls a tool of the tools server, over MCP.
- `What did I say earlier?` reads back the history that the conversations server keeps. Quit, start
  again, and ask once more: it is still there.

For real answers, set `ANTHROPIC_API_KEY` or `OPENAI_API_KEY`, or start Ollama, and start again."""


def create_tour() -> ScriptedModel:
    """The tour as a model."""
    return ScriptedModel(_answer, name="scripted/tour")


def _answer(request: ModelRequest) -> Completion:
    text, results = split_turn(request.messages)
    if results:
        return _say(
            f"The tool answered:\n\n{_quote(results[-1])}\n\n"
            "The call went over MCP to the tools server; both are stored with this turn."
        )
    clock = next((tool for tool in request.tools if tool.name.endswith("current_time")), None)
    if _TIME.search(text):
        return (
            _call(clock, text, len(request.messages)) if clock else _say("There is no clock here.")
        )
    if _MEMORY.search(text):
        return _say(_recall(request.messages))
    return _say(_MENU)


def _call(clock: ToolDefinition, text: str, position: int) -> Completion:
    zone = _ZONE.search(text)
    call = ToolCall(f"tour_{position}", clock.name, {"timezone": zone[0] if zone else "UTC"})
    said = f"{_LABEL}\n\nThe tool `{clock.name}` is called now."
    return Completion(text=said, tool_calls=(call,), stop_reason="tool_use")


def _recall(messages: Sequence[Message]) -> str:
    said = [message.text() for message in messages if message.role == "user"]
    if len(said) == 1:
        return "This is your first message in this conversation. Write another and ask again."
    return (
        f"The history that came with this request holds {len(messages) - 1} messages before this "
        f"one. Your first of them reads:\n\n{_quote(said[0])}"
    )


def _say(text: str) -> Completion:
    return Completion(text=f"{_LABEL}\n\n{text}")


def _quote(text: str) -> str:
    short = text if len(text) <= _MAX_QUOTE_CHARACTERS else text[:_MAX_QUOTE_CHARACTERS] + "…"
    return "\n".join(f"> {line}" for line in short.splitlines() or [""])
