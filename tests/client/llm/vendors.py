"""All providers side by side, so that what is promised for one is tested for the others."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any

import anyio

from client.llm.anthropic import prepare_messages
from client.llm.bedrock import Bedrock
from client.llm.exchange import Exchange
from client.llm.model_spec import ModelSpec, Provider, parse_endpoint
from client.llm.openai import prepare_chat
from client.llm.protocol import (
    Completion,
    LanguageModel,
    ModelEvent,
    ModelRequest,
    TextDelta,
    ToolDefinition,
)
from client.llm.remote import RemoteModel
from servers.conversations.contract import Message
from tests.fakes import anthropic_server, aws_signature, bedrock_server, openai_server
from tests.fakes.model_server import FakeModelServer


@dataclass(frozen=True, slots=True)
class Vendor:
    """One provider and the fake server for it."""

    provider: Provider
    title: str
    key: str
    model: str
    open_server: Callable[..., AbstractAsyncContextManager[FakeModelServer]]
    prepare: Callable[[ModelSpec, ModelRequest], Exchange]

    def connect(self, base_url: str, **changes: Any) -> LanguageModel:
        """A model at this address with the key that the fake expects."""
        endpoint = parse_endpoint(base_url, key=self.key, key_advice="check THE_VARIABLE")
        spec = ModelSpec(self.provider, self.model, endpoint, 100_000, 1_000, timeout_seconds=5)
        return RemoteModel(replace(spec, **changes), self.prepare)


ANTHROPIC = Vendor(
    "anthropic",
    "Anthropic",
    anthropic_server.KEY,
    anthropic_server.MODEL,
    anthropic_server.open_anthropic_server,
    prepare_messages,
)
OPENAI = Vendor(
    "openai",
    "OpenAI",
    openai_server.KEY,
    openai_server.MODEL,
    openai_server.open_openai_server,
    prepare_chat,
)
BEDROCK = Vendor(
    "bedrock",
    "Amazon Bedrock",
    bedrock_server.KEY,
    bedrock_server.MODEL,
    bedrock_server.open_bedrock_server,
    Bedrock(aws_signature.REGION).prepare,
)
WITH_KEY = [ANTHROPIC, OPENAI]
"""Those whose key stands in mcp.yml, and whose words for failures are much the same."""


def user(text: str) -> Message:
    return Message(role="user", content=text)


def ask(*messages: Message, tools: Sequence[ToolDefinition] = ()) -> ModelRequest:
    return ModelRequest("You are an assistant.", messages or (user("Hello"),), tools)


async def listen(
    model: LanguageModel,
    request: ModelRequest | None = None,
    heard: list[ModelEvent] | None = None,
) -> list[ModelEvent]:
    """All events of one answer; `heard` keeps them also when it fails."""
    heard = [] if heard is None else heard
    with anyio.fail_after(20):
        async with model.stream(request or ask()) as events:
            async for event in events:
                heard.append(event)
    return heard


def to_text(events: Sequence[ModelEvent]) -> str:
    """The text that was streamed."""
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def complete(model: LanguageModel, request: ModelRequest | None = None) -> Completion:
    """The completion that ends the answer."""
    last = (await listen(model, request))[-1]
    assert isinstance(last, Completion)
    return last
