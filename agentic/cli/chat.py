"""`agentic chat`: what a talk needs, put together."""

import signal

from agentic.cli.compose import open_assistant
from agentic.cli.conversation_ids import check_id
from agentic.cli.failures import FAILED
from agentic.cli.input_lines import is_terminal
from agentic.cli.invocation import Invocation
from agentic.cli.model_choice import choose_model
from agentic.cli.screen import Screen
from agentic.cli.talk import Talk
from agentic.config.models import Config

_CONVERSATION = "default"
_HISTORY_FILE = "input_history"


def chat(
    invocation: Invocation, conversation_id: str | None, model: str | None, *, thoughts: bool
) -> int:
    """Talk in `conversation_id`, else in the conversation `default`."""

    async def work(config: Config) -> int:
        checked_id = check_id(_CONVERSATION if conversation_id is None else conversation_id)
        chosen = await choose_model(config, model, may_ask=True)
        screen = _open_screen(config, thoughts=thoughts)
        told: list[str] = []
        # Ctrl-C is the talk's own affair: it stops a turn.
        async with open_assistant(
            config,
            chosen,
            conversation_id=checked_id,
            signals=(signal.SIGTERM,),
            tell=told.append,
            asker=screen,
            can_ask=screen.can_ask,
        ) as assistant:
            all_answered = await Talk(assistant, screen, checked_id, told).run()
        # A script wants to know; a person has seen it.
        return 0 if all_answered or is_terminal() else FAILED

    return invocation.run(work)


def _open_screen(config: Config, *, thoughts: bool) -> Screen:
    if is_terminal() and config.environment.get("TERM", "dumb") not in ("dumb", "unknown"):
        from agentic.cli.terminal_screen import TerminalScreen

        return TerminalScreen(config.data_directory / _HISTORY_FILE, thoughts=thoughts)
    from agentic.cli.plain_screen import PlainScreen

    return PlainScreen()
