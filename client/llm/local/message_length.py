"""Whether a message fits into the window by itself: told before any of it is read.

Reading takes a processor ten seconds and more; counting takes milliseconds.
"""

from typing import TYPE_CHECKING, Any

import anyio
from anyio import to_thread

from client.llm.history import to_pieces
from client.llm.http_client import create_http_client
from client.llm.local.answering import ask_to_answer
from client.llm.local.completions import Step
from client.llm.local.engine import Engine
from client.llm.model_spec import parse_endpoint
from client.llm.protocol import BadRequestError, ModelRequest

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Response

_TIMEOUT_SECONDS = 20.0
_BETWEEN_TOKENS = 16
"""More than templates put around a message."""


async def check_length(engine: Engine, request: ModelRequest, about: str, model_name: str) -> None:
    """See that the user's last message can be read, if nothing was said before.

    Raises:
        BadRequestError: It can't: no shorter history would help.
    """
    if request.messages[-1].role != "user":
        return
    step = await to_thread.run_sync(_to_step, request, about)
    window = engine.settings.context_tokens
    size = sum(
        _BETWEEN_TOKENS + len(message["content"].encode("utf-8", "replace"))
        for message in step.messages
    )
    if size < window:  # no token is less than a byte
        return
    tokens = await _count_tokens(engine, step)
    if tokens is not None and tokens >= window:
        raise BadRequestError(
            f"The message is longer than {model_name} can read at once ({tokens:,} tokens with "
            f"its instructions, and {window:,} fit). Send less of it at a time, or give the "
            "model a larger window (`context_tokens` in mcp.yml)."
        )


def _to_step(request: ModelRequest, about: str) -> Step:
    return ask_to_answer(request, to_pieces(request.messages[-1:]), about, max_tokens=1)


async def _count_tokens(engine: Engine, step: Step) -> int | None:
    """By the engine; None if it does not say: why, the step itself will tell."""
    from httpx2 import HTTPError

    endpoint = parse_endpoint(engine.address)
    client = await to_thread.run_sync(create_http_client, endpoint, _TIMEOUT_SECONDS)
    client.headers["Authorization"] = f"Bearer {engine.key}"
    async with client:
        try:
            with anyio.fail_after(_TIMEOUT_SECONDS):
                prompt = await _ask(client, "/apply-template", {"messages": step.messages})
                text = {"content": prompt["prompt"], "parse_special": True, "add_special": True}
                return len((await _ask(client, "/tokenize", text))["tokens"])
        except (HTTPError, TimeoutError, ValueError, LookupError):
            return None


async def _ask(client: "AsyncClient", path: str, body: dict[str, Any]) -> dict[str, Any]:
    response: Response = await client.post(path, json=body)
    return response.raise_for_status().json()
