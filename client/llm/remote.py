"""A model behind a provider's API: the course of a request, whichever vendor it goes to."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

from anyio import to_thread

from client.llm.exchange import Exchange, stream_answer
from client.llm.model_spec import ModelSpec
from client.llm.protocol import ModelEvent, ModelRequest


class RemoteModel:
    """The model that `spec` describes. `prepare` is the vendor's part, and is called in a thread.

    It raises `BadRequestError` where the messages are no whole turns.
    """

    def __init__(
        self, spec: ModelSpec, prepare: Callable[[ModelSpec, ModelRequest], Exchange]
    ) -> None:
        self._spec = spec
        self._prepare = prepare

    @property
    def name(self) -> str:
        """The provider and the model."""
        return self._spec.name

    @property
    def context_tokens(self) -> int:
        """As configured, or what is known of the model."""
        return self._spec.context_tokens

    @property
    def max_output_tokens(self) -> int:
        """As configured, or what is known of the model."""
        return self._spec.max_output_tokens

    async def prepare(self, request: ModelRequest) -> Exchange:
        """What `stream` sends, ready to be sent.

        Raises:
            ModelError: It can't be made.
        """
        # Libraries and certificates are read from disk, credentials may have to be asked for.
        return await to_thread.run_sync(self._prepare, self._spec, request, abandon_on_cancel=True)

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncGenerator[AsyncIterator[ModelEvent]]:
        """Ask over a connection of this request's own.

        Raises:
            ModelError: On entering or while iterating.
        """
        async with stream_answer(await self.prepare(request)) as events:
            yield events
