"""A turn that kills its process: `python -m tests.client.coordinator.dying_turn DIR AWAITS`.

Exits with 0 if the turn was over before that many awaits.
"""

import os
import signal
import sys
from pathlib import Path

import anyio
from anyio.lowlevel import checkpoint

from client.coordinator.coordinator import Coordinator
from client.llm.scripted import ScriptedModel
from tests.assistant import ask, calls, open_assistant, run_turn, said

MESSAGE_ID = "m"


async def main(directory: Path, awaits: int) -> None:
    def book(_: dict[str, str]) -> str:
        with (directory / "booked").open("a", encoding="utf-8") as file:
            file.write("booked\n")
        return "booked"

    async def die() -> None:
        for _ in range(awaits):
            await checkpoint()
        os.kill(os.getpid(), signal.SIGKILL)

    model = ScriptedModel([calls(("book", {}), text="One moment."), said("Booked.")])
    async with (
        open_assistant(directory / "store", {"book": book}) as assistant,
        anyio.create_task_group() as group,
    ):
        group.start_soon(die)
        await run_turn(Coordinator(assistant.hub, model), ask("Book it", message_id=MESSAGE_ID))
        group.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]), int(sys.argv[2]))
