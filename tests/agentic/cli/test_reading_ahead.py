"""What the embedded model reads before anybody asks."""

from pathlib import Path

import anyio

from agentic.cli.reading_ahead import reading_ahead
from client.coordinator.coordinator import Coordinator
from client.hub.hub import open_hub
from tests.fakes.local_engine import FakeEngine, open_local_model


async def test_it_reads_when_it_is_loaded_and_a_failure_is_no_harm(tmp_path: Path) -> None:
    engine = FakeEngine(tmp_path / "weights.gguf")
    engine.write({"text": "x", "stop": "length"}, {"status": 400, "error": "no room"})
    with anyio.fail_after(20):
        async with open_hub([]) as hub, open_local_model(engine) as model:
            async with reading_ahead(model, hub, Coordinator(hub, model), None):
                await engine.wait_for(lambda line: line.get("body", {}).get("id_slot") == 1)
            assert model.loading.is_ready
    assert all(body["max_tokens"] == 1 for body in engine.bodies)
