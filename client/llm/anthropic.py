"""Claude by Anthropic's Messages API, and whatever else speaks it."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from client.llm.anthropic_answer import AnthropicAnswer
from client.llm.anthropic_messages import to_messages_body
from client.llm.exchange import Exchange, closing, stream_answer
from client.llm.failures import Service, explain_connection, parse_failure
from client.llm.http_client import create_http_client
from client.llm.model_spec import ModelSpec
from client.llm.protocol import ModelError, ModelEvent, ModelRequest

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic, Omit


class AnthropicModel:
    """A model behind the Messages API, with prompt caching on."""

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        endpoint = spec.endpoint
        self._service = Service(endpoint.title, spec.model, endpoint.key_advice, endpoint.key)

    @property
    def name(self) -> str:
        """`anthropic/` and the model."""
        return self._spec.name

    @property
    def context_tokens(self) -> int:
        """As configured, or what is known of the model."""
        return self._spec.context_tokens

    @property
    def max_output_tokens(self) -> int:
        """As configured, or what is known of the model."""
        return self._spec.max_output_tokens

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncGenerator[AsyncIterator[ModelEvent]]:
        """Ask over a connection of this request's own.

        Raises:
            ModelError: On entering or while iterating.
        """
        body = to_messages_body(
            request, model=self._spec.model, max_tokens=self._spec.max_output_tokens
        )
        if self._spec.temperature is not None:
            body["temperature"] = self._spec.temperature
        client = await to_thread.run_sync(self._create_client)
        async with (
            closing(client),
            stream_answer(self._prepare(client, request, body), AnthropicAnswer()) as events,
        ):
            yield events

    def _create_client(self) -> "AsyncAnthropic":
        """For a thread: the library and certificates are read from disk."""
        from anthropic import AsyncAnthropic

        endpoint = self._spec.endpoint
        return AsyncAnthropic(
            api_key=endpoint.key or "none",
            base_url=endpoint.base_url,
            max_retries=0,  # its retries wait as long as the provider says, even for an hour
            http_client=create_http_client(endpoint, self._spec.timeout_seconds),
        )

    def _prepare(
        self, client: "AsyncAnthropic", request: ModelRequest, body: dict[str, Any]
    ) -> Exchange:
        from anthropic import AnthropicError, AsyncStream, omit
        from httpx2 import HTTPError

        endpoint = self._spec.endpoint
        headers: dict[str, str | Omit] = (
            {} if endpoint.key else {"Authorization": endpoint.basic or omit}
        )
        return Exchange(
            # The raw events: the SDK builds its own models unchecked, ours are parsed.
            ask=partial(
                client.post,
                "/v1/messages",
                body=body,
                cast_to=object,
                options={"headers": headers},
                stream=True,
                stream_cls=AsyncStream[object],
            ),
            failures=(AnthropicError, HTTPError, ValueError, RecursionError),
            explain=partial(self._explain, request),
            service=self._service,
            timeout_seconds=self._spec.timeout_seconds,
        )

    def _explain(self, request: ModelRequest, error: Exception) -> ModelError:
        from anthropic import APIConnectionError, APIStatusError

        if isinstance(error, APIStatusError):
            status = error.status_code if error.status_code >= 300 else None
            failure = parse_failure(status, error.body, error.response.headers)
            return self._service.explain(failure, request)
        cause = error.__cause__ if isinstance(error, APIConnectionError) else error
        return explain_connection(self._service, cause, self._spec.timeout_seconds)
