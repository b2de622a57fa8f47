"""In both protocol eras: the server's process is killed during a turn, and started again."""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import DEVNULL

import anyio
import pytest
from anyio.abc import Process

from client.coordinator.coordinator import Coordinator
from client.coordinator.events import TurnFinished
from client.hub.hub import open_hub
from client.hub.servers import HttpTarget, HubServer
from client.llm.scripted import Held, ScriptedModel
from client.spool.spool import Spool
from servers.conversations.file_store import open_file_store
from tests.assistant import OWNER, ask, run_turn, said
from tests.client.spool.outage import Machine
from tests.ports import free_port


@asynccontextmanager
async def serving(directory: Path, port: int, *era: str) -> AsyncGenerator[Process]:
    module = "tests.client.spool.http_store"
    command = [sys.executable, "-m", module, str(directory), str(port), *era]
    async with await anyio.open_process(command, stdout=DEVNULL, stderr=DEVNULL) as process:
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("era", "version"), [((), "2026-07-28"), (("older",), "2025-11-25")], ids=["modern", "older"]
)
async def test_a_reply_waits_while_the_server_is_gone_and_is_stored_once(
    tmp_path: Path, era: tuple[str, ...], version: str
) -> None:
    port, machine, held = free_port(), Machine(tmp_path / "spool"), Held(said("Hello."))
    target = HttpTarget(f"http://127.0.0.1:{port}/mcp")
    server = HubServer("conversations", target, ours=True, offer_to_model=False)
    told = anyio.Event()

    def tell(text: str) -> None:
        machine.told.append(text)
        told.set()

    with anyio.fail_after(60):
        async with open_hub([server]) as hub:
            spool = Spool(hub, machine.folder, tell)
            coordinator = Coordinator(hub, ScriptedModel([held]), spool=spool)
            async with serving(tmp_path / "store", port, *era) as process:
                await hub.wait_ready(timeout_seconds=30)
                assert hub.status()[0].protocol_version == version

                async def kill() -> None:
                    await held.reached.wait()
                    process.kill()
                    await process.wait()
                    held.release.set()

                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(kill)
                    last = (await run_turn(coordinator, ask("Hi", message_id="m")))[-1]
                    assert isinstance(last, TurnFinished)
                    assert not last.is_stored
            async with serving(tmp_path / "store", port, *era), anyio.create_task_group() as tasks:
                tasks.start_soon(spool.run)
                await told.wait()
                tasks.cancel_scope.cancel()
    async with open_file_store(tmp_path / "store") as store:
        messages = (await store.load_conversation(OWNER, "c")).messages
    assert [m.message_id for m in messages] == ["m", "m/1"]
    assert machine.waiting == 0
    assert machine.told == ["What waited for the store is stored now: 1 message."]
