"""OpenAI's chat completions, and all that speak them: Ollama, llama.cpp, vLLM, OpenRouter."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from client.llm.exchange import Exchange, closing, stream_answer
from client.llm.failures import Service, explain_connection, parse_failure
from client.llm.http_client import create_http_client
from client.llm.model_spec import ModelSpec
from client.llm.openai_answer import OpenAIAnswer
from client.llm.openai_messages import to_chat_body
from client.llm.protocol import ModelError, ModelEvent, ModelRequest

if TYPE_CHECKING:
    from openai import AsyncOpenAI, Omit


class OpenAIModel:
    """A model behind chat completions. Without a key none is sent."""

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        endpoint = spec.endpoint
        self._service = Service(endpoint.title, spec.model, endpoint.key_advice, endpoint.key)

    @property
    def name(self) -> str:
        """`openai/` or `ollama/`, and the model."""
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
        body = to_chat_body(
            request,
            model=self._spec.model,
            max_tokens=self._spec.max_output_tokens,
            for_vendor=self._spec.endpoint.is_vendors_own,
        )
        if self._spec.temperature is not None:
            body["temperature"] = self._spec.temperature
        client = await to_thread.run_sync(self._create_client)
        async with (
            closing(client),
            stream_answer(self._prepare(client, request, body), OpenAIAnswer()) as events,
        ):
            yield events

    def _create_client(self) -> "AsyncOpenAI":
        """For a thread: the library and certificates are read from disk."""
        from openai import AsyncOpenAI

        endpoint = self._spec.endpoint
        return AsyncOpenAI(
            api_key=endpoint.key or "none",
            base_url=endpoint.base_url,
            max_retries=0,  # its retries wait as long as the provider says, even for an hour
            http_client=create_http_client(endpoint, self._spec.timeout_seconds),
        )

    def _prepare(
        self, client: "AsyncOpenAI", request: ModelRequest, body: dict[str, Any]
    ) -> Exchange:
        from httpx2 import HTTPError
        from openai import AsyncStream, OpenAIError, omit

        endpoint = self._spec.endpoint
        headers: dict[str, str | Omit] = (
            {} if endpoint.key else {"Authorization": endpoint.basic or omit}
        )
        return Exchange(
            # The raw chunks: the SDK builds its own models unchecked, ours are parsed.
            ask=partial(
                client.post,
                "/chat/completions",
                body=body,
                cast_to=object,
                options={"headers": headers},
                stream=True,
                stream_cls=AsyncStream[object],
            ),
            failures=(OpenAIError, HTTPError, ValueError, RecursionError),
            explain=partial(self._explain, request),
            service=self._service,
            timeout_seconds=self._spec.timeout_seconds,
        )

    def _explain(self, request: ModelRequest, error: Exception) -> ModelError:
        from openai import APIConnectionError, APIError, APIStatusError

        if isinstance(error, APIStatusError):
            failure = parse_failure(error.status_code, error.body, error.response.headers)
            return self._service.explain(failure, request)
        if isinstance(error, APIConnectionError) or not isinstance(error, APIError):
            cause = error.__cause__ if isinstance(error, APIConnectionError) else error
            return explain_connection(self._service, cause, self._spec.timeout_seconds)
        return self._service.explain(parse_failure(None, error.body, {}), request)
