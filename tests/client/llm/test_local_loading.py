"""From weights to an engine that answers, and back to one after a crash."""

from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from client.llm.local.loading import Loading
from client.llm.protocol import ModelUnavailableError
from client.weights.errors import NoRoomError
from client.weights.progress import Progress
from tests.client.llm.vendors import ask, complete, user
from tests.fakes.local_engine import FakeEngine, open_local_model

MEGABYTE = 1_000_000


@pytest.fixture
def engine(tmp_path: Path) -> FakeEngine:
    made = FakeEngine(tmp_path / "weights.gguf")
    made.write({"text": "One"}, {"text": "Two"})
    return made


async def test_who_waits_hears_how_far_it_is(engine: FakeEngine) -> None:
    more = anyio.Event()

    async def get_weights(on_progress: Callable[[Progress], None]) -> Path:
        on_progress(Progress("connecting", "Hugging Face", 0, 1_000 * MEGABYTE))
        on_progress(Progress("fetching", "Hugging Face", 430 * MEGABYTE, 1_000 * MEGABYTE, 9.5e6))
        await more.wait()
        on_progress(Progress("verifying", "", 900 * MEGABYTE, 1_000 * MEGABYTE))
        return engine.script

    told: list[str] = []
    with anyio.fail_after(20):
        async with open_local_model(engine, get_weights) as model:

            def tell(state: str) -> None:
                told.append(state)
                if "43 %" in state:
                    more.set()

            await model.loading.wait(tell)
            assert model.loading.is_ready
    assert "getting the model from Hugging Face: 43 %, 1 min left" in told
    assert told[-1] == "starting the model"


async def test_a_wait_that_is_given_up_does_not_end_the_loading(engine: FakeEngine) -> None:
    more = anyio.Event()

    async def get_weights(on_progress: Callable[[Progress], None]) -> Path:
        await more.wait()
        return engine.script

    with anyio.fail_after(20):
        async with open_local_model(engine, get_weights) as model:
            with anyio.move_on_after(0.1) as waiting:
                await model.loading.wait()
            assert waiting.cancelled_caught
            more.set()
            await model.loading.wait()


async def test_weights_that_cannot_be_had_are_told_and_asked_for_anew(engine: FakeEngine) -> None:
    attempts: list[int] = []

    async def get_weights(on_progress: Callable[[Progress], None]) -> Path:
        attempts.append(1)
        if len(attempts) == 1:
            raise NoRoomError("The memory is too small.")
        return engine.script

    with anyio.fail_after(20):
        async with open_local_model(engine, get_weights) as model:
            with pytest.raises(ModelUnavailableError, match="memory is too small"):
                await complete(model)
            assert model.loading.failure == "The memory is too small."
            assert (await complete(model)).text == "One"
    assert len(attempts) == 2


async def test_an_engine_that_dies_is_told_and_started_again(engine: FakeEngine) -> None:
    engine.write({"text": "Half an ans", "then": "dies"})
    with anyio.fail_after(30):
        async with open_local_model(engine) as model:
            with pytest.raises(ModelUnavailableError, match=r"killed: most likely .* memory"):
                await complete(model)
            engine.write({"text": "Whole"})
            assert (await complete(model)).text == "Whole"
    assert len({*engine.pids}) == 2


async def test_an_engine_that_goes_on_dying_is_left_alone(engine: FakeEngine) -> None:
    engine.write({"then": "dies"})
    with anyio.fail_after(60):
        async with open_local_model(engine) as model:
            for _ in range(3):
                with pytest.raises(ModelUnavailableError, match="killed"):
                    await complete(model)
            with pytest.raises(ModelUnavailableError, match="died 3 times within 10 minutes"):
                await complete(model)
    assert len(engine.pids) == 3


async def test_nothing_runs_before_or_after_its_context(engine: FakeEngine) -> None:
    with anyio.fail_after(20):
        async with open_local_model(engine) as model:
            await model.loading.wait()
        assert not model.loading.is_ready
    other = Loading(engine.get_weights, lambda _: engine.settings)
    assert not other.is_ready
    assert len(engine.pids) == 1


async def test_two_who_ask_at_once_are_answered_one_after_the_other(engine: FakeEngine) -> None:
    answers: list[str] = []
    with anyio.fail_after(20):
        async with open_local_model(engine) as model, anyio.create_task_group() as group:

            async def ask_once() -> None:
                answers.append((await complete(model, ask(user("Hi")))).text)

            group.start_soon(ask_once)
            group.start_soon(ask_once)
    assert sorted(answers) == ["One", "Two"]
