"""What a model is asked: instructions, tools, and as much of a conversation as fits."""

from collections.abc import Callable, Iterator, Sequence

from client.coordinator.history import build_history, estimate_tokens
from client.llm.protocol import LanguageModel, ModelRequest, ToolDefinition
from client.tool_manager import ToolManager
from servers.conversations.contract import RESOURCE_SCHEME, Message

_READ_ATTACHMENT = "conversations__read_attachment"
"""Offered where there is something to read: each tool more makes a small model choose worse."""
_WINDOW_SHARES = (1.0, 0.6, 0.3)
"""We only estimate tokens: when a model says too long, this much of its window is tried."""


def create_requests(
    manager: ToolManager,
    model: LanguageModel,
    instructions: Callable[[bool], str],
    messages: Sequence[Message],
    *,
    current_turn: str,
    joined: Sequence[str] = (),
) -> Iterator[ModelRequest]:
    """With the tools that there are now; each request has less history than the one before.

    `instructions` is told whether there are tools.
    """
    tools = [
        tool
        for tool in manager.definitions()
        if tool.name != _READ_ATTACHMENT or any(map(_names_attachment, messages))
    ]
    told = instructions(bool(tools))
    fixed = estimate_tokens(told) + sum(map(_estimate_tool, tools))
    room = model.context_tokens - model.max_output_tokens - fixed
    for share in _WINDOW_SHARES:
        history = build_history(
            messages,
            current_turn=current_turn,
            joined=joined,
            budget_tokens=int(room * share),
            with_tools=bool(tools),
            model=model.name,
        )
        yield ModelRequest(told, history, tools)


def _names_attachment(message: Message) -> bool:
    content = message.content
    texts = (
        [content]
        if isinstance(content, str)
        else [str(block.get("uri") or block.get("text") or "") for block in content]
    )
    return any(RESOURCE_SCHEME in text and "/attachments/" in text for text in texts)


def _estimate_tool(tool: ToolDefinition) -> int:
    return 20 + estimate_tokens([tool.name, tool.description, tool.input_schema])
