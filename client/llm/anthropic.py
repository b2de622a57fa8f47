"""Claude by Anthropic's Messages API, and what else speaks it."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from client.llm.anthropic_answer import AnthropicAnswer
from client.llm.anthropic_messages import to_messages_body
from client.llm.endpoint import Endpoint
from client.llm.exchange import Exchange, RawStream, stream_answer
from client.llm.failures import Failure, Service, parse_retry_after
from client.llm.protocol import ModelError, ModelEvent, ModelRequest

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

_CONNECT_SECONDS = 10.0


class AnthropicModel:
    """A model behind the Messages API. The key is sent to `endpoint` and nowhere else."""

    def __init__(
        self,
        model: str,
        endpoint: Endpoint,
        *,
        context_tokens: int,
        max_output_tokens: int,
        timeout_seconds: float,
        temperature: float | None = None,
    ) -> None:
        self.name = f"anthropic/{model}"
        self.context_tokens = context_tokens
        self.max_output_tokens = max_output_tokens
        self._model = model
        self._endpoint = endpoint
        self._timeout_seconds = timeout_seconds
        self._temperature = temperature
