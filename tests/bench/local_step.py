"""A single answer of the embedded model, without a conversation around it."""

from client.llm.protocol import Completion, LanguageModel, ModelRequest


async def complete(model: LanguageModel, request: ModelRequest) -> Completion:
    """The whole of it."""
    async with model.stream(request) as events:
        async for event in events:
            if isinstance(event, Completion):
                return event
    raise AssertionError("an answer ends with a completion or an error")
