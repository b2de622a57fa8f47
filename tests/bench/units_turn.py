"""The units of a whole turn through the Coordinator: a question, a call that is made, the reply."""

from collections.abc import Callable

import anyio

from client.coordinator.coordinator import Coordinator
from client.coordinator.events import TurnFinished
from client.hub.hub import open_hub
from client.hub.servers import HubServer, InProcessTarget
from client.llm.scripted import ScriptedModel
from servers.access.principal import create_operator
from servers.conversations.server import create_server
from servers.conversations.store import ConversationStore
from tests.assistant import OWNER, Lab, ask, calls, run_turn, said
from tests.bench.table import Row

_LIMIT_SECONDS = 120
_WAYS = ("of which nothing is known yet", "of one that is known")


async def measure_turns(
    store: ConversationStore,
    take: Callable[[], tuple[float, float]],
    conversation_id: str,
    size: int,
    text: str,
) -> list[Row]:
    """Two turns after `size` messages: by servers that were just started, then once more."""
    lab = Lab({"book": lambda _: text})
    servers = [
        HubServer(
            "conversations",
            InProcessTarget(create_server(store, create_operator(OWNER))),
            ours=True,
            offer_to_model=False,
        ),
        HubServer("lab", InProcessTarget(lab.create_server()), ours=True),
    ]
    rows: list[Row] = []
    with anyio.fail_after(_LIMIT_SECONDS):
        async with open_hub(servers) as hub:
            await hub.wait_ready(timeout_seconds=15)
            model = ScriptedModel([calls(("book", {"day": "today"})), said(text)] * len(_WAYS))
            coordinator = Coordinator(hub, model)
            for way in _WAYS:
                take()
                last = (await run_turn(coordinator, ask(text, conversation_id)))[-1]
                assert isinstance(last, TurnFinished), last
                written, read = take()
                rows += [
                    Row(f"a whole turn after {size:,} messages, {way}, written", written, "units"),
                    Row("  read", read, "units"),
                ]
    return rows
