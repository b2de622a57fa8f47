"""A client that kills itself: `python -m tests.client.spool.dying_process DIRECTORY MOMENT`.

The store goes away before a tool that changes things, and is back when the turn is over, so that
what waits is stored. MOMENT is `tool` (it runs), `reply` (it is there), `sent` (the store has the
first of what waited), or a number of awaits after the store went away; exits with 0 if all of it
took fewer.
"""

import os
import signal
import sys
from pathlib import Path

import anyio
from anyio.lowlevel import checkpoint

from client.llm.scripted import ScriptedModel
from tests.assistant import ask, calls, open_assistant, run_turn, said
from tests.client.spool.outage import Machine, Outage

MESSAGE_ID = "m"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def main(directory: Path, moment: str) -> None:
    def book(_: dict[str, str]) -> str:
        with (directory / "booked").open("a", encoding="utf-8") as file:
            file.write("booked\n")
        if moment == "tool":
            die()
        return "booked"

    async def die_after(awaits: int) -> None:
        await outage.begun.wait()
        for _ in range(awaits):
            await checkpoint()
        die()

    def die_when_sent(_: str, tool: str) -> None:
        if tool == "append_messages":
            die()

    model = ScriptedModel([calls(("book", {}), text="One moment."), said("Booked.")])
    machine = Machine(directory / "spool")
    async with open_assistant(directory / "store", {"book": book}) as assistant:
        outage = Outage(assistant.hub, 2)
        async with anyio.create_task_group() as group:
            if moment.isdecimal():
                group.start_soon(die_after, int(moment))
            coordinator = machine.create_coordinator(assistant.hub, model)
            await run_turn(coordinator, ask("Book it", message_id=MESSAGE_ID))
            if moment == "reply":
                die()
            outage.end()
            if moment == "sent":
                assistant.hub.after = die_when_sent
            await machine.create_spool(assistant.hub).replay_all()
            group.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]), sys.argv[2])
