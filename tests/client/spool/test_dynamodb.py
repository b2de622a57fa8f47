"""DynamoDB itself goes away during a turn and comes back: the server stays, and says so."""

from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from client.coordinator.coordinator import Coordinator
from client.coordinator.events import TurnFinished
from client.hub.hub import open_hub
from client.hub.servers import HubServer, InProcessTarget
from client.llm.scripted import ScriptedModel
from servers.access.principal import create_operator
from servers.aws.api import open_api
from servers.conversations.dynamodb_client import create_client
from servers.conversations.dynamodb_store import DynamoDBConversationStore
from servers.conversations.dynamodb_writes import Writer
from servers.conversations.server import create_server
from tests.assistant import OWNER, Lab, WatchedHub, ask, assert_whole, calls, run_turn, said
from tests.client.spool.outage import Machine
from tests.fakes.dynamodb_places import in_table
from tests.fakes.dynamodb_server import CREDENTIALS, REGION, create_table, open_aws_server
from tests.ports import free_port


@asynccontextmanager
async def open_store(address: str) -> AsyncGenerator[DynamoDBConversationStore]:
    """Over a new table; what fails is given up soon."""
    async with open_api("talks", REGION, address) as api:
        table = await anyio.to_thread.run_sync(create_table, api)
        client = create_client(api, table, deadline_seconds=0.3)
        yield DynamoDBConversationStore(Writer(client, 60, 1), in_table(client))


@pytest.mark.slow
async def test_what_a_turn_produced_is_stored_in_order_when_dynamodb_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    port, machine, away = free_port(), Machine(tmp_path / "spool"), ExitStack()
    address = away.enter_context(open_aws_server(port))

    def book(_: dict[str, Any]) -> str:
        away.close()
        return "booked"

    lab = Lab({"book": book, "pay": lambda _: "paid"})
    model = ScriptedModel([calls(("book", {})), calls(("pay", {})), said("Booked and paid.")])
    with anyio.fail_after(60):
        async with open_store(address) as store:
            servers = [
                HubServer(
                    "conversations",
                    InProcessTarget(create_server(store, create_operator(OWNER))),
                    ours=True,
                    offer_to_model=False,
                ),
                HubServer("lab", InProcessTarget(lab.create_server()), ours=True),
            ]
            async with open_hub(servers) as hub:
                await hub.wait_ready(timeout_seconds=15)
                watched = WatchedHub(hub)
                spool = machine.create_spool(watched)
                coordinator = Coordinator(watched, model, spool=spool)
                last = (await run_turn(coordinator, ask("Book it", message_id="m")))[-1]
                assert isinstance(last, TurnFinished)
                assert (last.content, last.is_stored) == ("Booked and paid.", False)
                assert [name for name, _ in lab.calls] == ["book", "pay"]
                assert machine.waiting == 2
                assert machine.told == []

                with open_aws_server(port):
                    for _ in range(2):  # the second finds nothing to do
                        await spool.replay_all()
                    messages = (await store.load_conversation(OWNER, "c")).messages
    assert [m.message_id for m in messages] == ["m", *(f"m/{n}" for n in range(1, 6))]
    assert [m.role for m in messages][1:] == ["assistant", "tool", "assistant", "tool", "assistant"]
    assert_whole(messages)
    assert machine.waiting == 0
    assert machine.told == ["What waited for the store is stored now: 4 messages."]
