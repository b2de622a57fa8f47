"""`agentic ask`: one turn, for scripts and for the impatient."""

import sys
from collections.abc import Sequence
from typing import Any

from agentic.cli.compose import Assistant, open_assistant, require, store_what_waits
from agentic.cli.conversation_ids import check_id, create_id
from agentic.cli.failures import FAILED, UsageError
from agentic.cli.input_lines import InputLines
from agentic.cli.invocation import Invocation, note
from agentic.cli.model_choice import choose_model
from agentic.cli.plain_view import PlainTurnView
from agentic.cli.question_view import CommandAsker
from agentic.cli.server_states import note_absent_servers
from agentic.cli.terminal_text import to_json
from agentic.config.models import Config
from client.coordinator.events import ToolFinished, TurnEvent, TurnFailed, TurnFinished, TurnStarted
from client.coordinator.request import TurnRequest

_PATIENCE_SECONDS = 2.0


def ask(
    invocation: Invocation,
    words: Sequence[str],
    conversation_id: str | None,
    model: str | None,
    *,
    allowed: Sequence[str] = (),
    as_json: bool,
) -> int:
    """Print the answer to `words`, or to what stands on stdin.

    Tools named in `allowed` are not asked about. Fails, too, if another would have had to be, and
    nobody is there.
    """

    async def work(config: Config) -> int:
        checked_id = create_id("ask") if conversation_id is None else check_id(conversation_id)
        chosen = await choose_model(config, model, may_ask=True)
        asker = CommandAsker(allowed)
        request = TurnRequest(checked_id, await _read_question(words))
        async with open_assistant(
            config, chosen, tell=note, asker=asker, can_ask=asker.can_ask
        ) as assistant:
            await require(assistant.hub, "conversations")
            await store_what_waits(assistant.spool)
            note_absent_servers(assistant.hub)
            code = await _answer(assistant, request, as_json=as_json)
            for refused in asker.refused:
                note(refused)
            return FAILED if asker.refused else code

    return invocation.run(work)


async def _read_question(words: Sequence[str]) -> str:
    """The words, and after them what is piped in.

    Without words, or with `-` among them, stdin is waited for. With words alone it is read if
    something comes soon: many programs hand down a pipe into which nobody ever writes.
    """
    parts = [" ".join(word for word in words if word != "-")]
    is_terminal = sys.stdin is not None and sys.stdin.isatty()
    is_asked_for = "-" in words or (not is_terminal and not parts[0].strip())
    lines = InputLines()
    if is_asked_for or (not is_terminal and await lines.begin_within(_PATIENCE_SECONDS)):
        parts.append(await lines.read_all())
    text = "\n\n".join(part.strip("\n") for part in parts if part.strip())
    if not text:
        raise UsageError("There is no question: write one after `agentic ask`, or pipe it in.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError("The question is no valid UTF-8 text.") from None
    if "\0" in text:
        raise UsageError("The question holds a NUL character: remove it.")
    return text


async def _answer(assistant: Assistant, request: TurnRequest, *, as_json: bool) -> int:
    view = PlainTurnView(None if as_json else sys.stdout, sys.stderr)
    calls: list[dict[str, Any]] = []
    last: TurnEvent | None = None
    turn_id = ""
    if assistant.loading is not None:
        await assistant.loading.wait(view.wait)
    async with assistant.coordinator.stream(request) as events:
        async for event in events:
            view.show(event)
            if isinstance(event, TurnStarted):
                turn_id = event.turn_id
            elif isinstance(event, ToolFinished):
                call = {"tool": event.tool, "is_error": event.is_error, "seconds": event.seconds}
                kept = {"kept": [link["uri"] for link in event.kept]} if event.kept else {}
                calls.append(call | kept)
            last = event
    ids = {"conversation_id": request.conversation_id, "turn_id": turn_id}
    facts = {"model": assistant.model_name, "usage": None, "seconds": None}
    match last:
        case TurnFinished():
            known = {name: last.metadata.get(name, value) for name, value in facts.items()}
            result = {"content": last.content, **ids, **known, "tool_calls": calls}
            result["is_stored"] = last.is_stored
        case TurnFailed():
            error = {"code": last.code, "message": last.message, "reference": last.reference}
            result = {"content": "", **ids, **facts, "tool_calls": calls, "error": error}
        case _:
            raise AssertionError("a turn ends with a finish or a failure")
    if as_json:
        sys.stdout.write(to_json(result) + "\n")
    return 0 if isinstance(last, TurnFinished) else FAILED
