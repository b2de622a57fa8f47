"""Keeps an engine at hand, from the first download of its weights to a restart after a crash."""

import math
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from client.llm.local.engine import Engine, EngineError, EngineSettings, open_engine
from client.llm.protocol import ModelUnavailableError
from client.weights.errors import WeightsError
from client.weights.progress import Progress

_MAX_CRASHES = 3
_CRASHES_SECONDS = 600.0
_MOMENT_SECONDS = 0.5
"""From the cut of a line to the news that its other end has died."""

Tell = Callable[[str], None]
GetWeights = Callable[[Callable[[Progress], None]], Awaitable[Path]]


class Loading:
    """An engine on its way, there, or gone. Nothing happens outside `running`."""

    def __init__(
        self, get_weights: GetWeights, create_settings: Callable[[Path], EngineSettings]
    ) -> None:
        """`get_weights` checks, and fetches if it must; it is called for each start anew."""
        self._get_weights = get_weights
        self._create_settings = create_settings
        self._engine: Engine | None = None
        self._state = "the model is not being loaded"
        self._failure: str | None = None
        self._crashes: deque[float] = deque(maxlen=_MAX_CRASHES)
        self._changed = anyio.Event()
        self._wanted = anyio.Event()

    @property
    def is_ready(self) -> bool:
        """The engine is up."""
        return self._engine is not None

    @property
    def state(self) -> str:
        """For people: how far it is."""
        return self._state

    @property
    def failure(self) -> str | None:
        """Why it can't be had; the next wait tries again."""
        return self._failure

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Load, and load again after a crash when somebody asks; end with the context."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._keep)
            yield
            group.cancel_scope.cancel()

    async def wait(self, tell: Tell | None = None) -> Engine:
        """The engine, when it is up; `tell` hears how far it is.

        Raises:
            ModelUnavailableError: It can't be had; the next wait tries again.
        """
        if self._failure is not None:
            self._failure = None
            self._wanted.set()
        while True:
            changed = self._changed
            if self._engine is not None and not self._engine.has_ended:
                return self._engine
            if self._failure is not None:
                raise ModelUnavailableError(self._failure)
            if tell is not None:
                tell(self._state)
            await changed.wait()

    async def find_end(self, engine: Engine) -> str | None:
        """Why `engine` is gone, None if it isn't; whoever waits after this gets a new one."""
        with anyio.move_on_after(_MOMENT_SECONDS):
            while self._engine is engine or self._failure is None:
                await self._changed.wait()
            return self._failure
        return None

    async def _keep(self) -> None:
        while True:
            try:
                await self._run()
            except (WeightsError, EngineError) as error:
                self._failure = str(error)
                self._notify()
            await self._wanted.wait()
            self._wanted = anyio.Event()

    async def _run(self) -> None:
        """Run one engine to its end.

        Raises:
            WeightsError, EngineError: It could not be started, or ended.
        """
        self._check_crashes()
        self._tell("looking for the model's weights")
        path = await self._get_weights(lambda progress: self._tell(_render(progress)))
        self._tell("starting the model")
        async with open_engine(self._create_settings(path)) as engine:
            self._engine = engine
            self._notify()
            try:
                reason = await engine.wait_ended()
            finally:
                self._engine = None
        self._crashes.append(anyio.current_time())
        raise EngineError(f"{reason} It is started again with the next message.")

    def _check_crashes(self) -> None:
        """An engine that goes on dying is left alone for a while."""
        if len(self._crashes) < _MAX_CRASHES:
            return
        left = _CRASHES_SECONDS - (anyio.current_time() - self._crashes[0])
        if left > 0:
            raise EngineError(
                f"The engine died {_MAX_CRASHES} times within {_CRASHES_SECONDS / 60:g} minutes "
                f"and is left alone for {math.ceil(left / 60)} more: end other programs, or use "
                "a smaller model."
            )

    def _tell(self, state: str) -> None:
        self._state = state
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def _render(progress: Progress) -> str:
    percent = 100 * progress.done_bytes // max(1, progress.total_bytes)
    match progress.phase:
        case "connecting":
            return f"asking {progress.source} for the model"
        case "fetching":
            left = _render_left(progress.seconds_left)
            return f"getting the model from {progress.source}: {percent} %{left}"
        case "verifying":
            return f"verifying the model: {percent} %"


def _render_left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f", {seconds:.0f} s left" if seconds < 60 else f", {seconds / 60:.0f} min left"
