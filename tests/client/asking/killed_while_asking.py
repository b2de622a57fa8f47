"""A turn that is killed as a person is asked: arguments DIR TOOL, and those of the asking server.

A tool `delete_…` is the lab's.
"""

import os
import signal
import sys
from pathlib import Path

import anyio

from client.asking.questions import Answer, CallQuestion, Question
from client.coordinator.coordinator import Coordinator
from client.llm.protocol import Completion, ToolCall
from client.llm.scripted import ScriptedModel
from tests.assistant import ToolHandler, ask, open_assistant, run_turn
from tests.client.hub.fakes import stdio


class Killer:
    """Agrees to calls of the server that asks; dies of everything else."""

    async def ask(self, question: Question) -> Answer:
        if isinstance(question, CallQuestion) and question.tool.startswith("asks__"):
            return Answer("accept")
        os.kill(os.getpid(), signal.SIGKILL)
        await anyio.sleep_forever()
        raise AssertionError


async def main(directory: Path, tool: str, *era: str) -> None:
    server = "lab" if tool.startswith("delete_") else "asks"
    call = ToolCall("call-1", f"{server}__{tool}", {})
    model = ScriptedModel([Completion("", tool_calls=[call], stop_reason="tool_use")])
    asks = stdio("asks", "asks", *era)
    tools: dict[str, ToolHandler] = {"delete_note": lambda _: "gone"}
    async with open_assistant(directory, tools, more=[asks]) as assistant:
        coordinator = Coordinator(assistant.hub, model, asker=Killer())
        await run_turn(coordinator, ask("Do it", message_id="m"))


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]), *sys.argv[2:])
