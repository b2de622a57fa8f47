"""A fake endpoint, and clients of a tools server that calls it, in both protocol eras."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Literal, cast

import anyio
import pytest
from mcp import Client
from mcp.types import CallToolResult

from agentic.config.tools import ToolConfig
from servers.access.principal import Principal, create_operator
from servers.tools.server import create_server
from tests.fakes.tool_endpoint import ToolEndpoint, serve_tool_endpoint

Era = Literal["auto", "legacy"]
OpenTools = Callable[..., AbstractAsyncContextManager[Client]]


def declare(**tools: Mapping[str, Any] | ToolConfig) -> dict[str, ToolConfig]:
    """Declarations, as `mcp.yml` writes them or loaded from it."""
    return {name: ToolConfig.model_validate(tool) for name, tool in tools.items()}


def text_of(result: CallToolResult) -> str:
    [block] = result.content
    assert block.type == "text"
    return block.text


def error_of(result: CallToolResult) -> dict[str, Any]:
    """The error of a failed call, which its text repeats for a model."""
    assert result.is_error
    assert result.structured_content is not None
    error = cast("dict[str, Any]", result.structured_content["error"])
    assert text_of(result) == error["message"]
    return error


@pytest.fixture
async def endpoint() -> AsyncGenerator[ToolEndpoint]:
    async with serve_tool_endpoint() as endpoint:
        yield endpoint


@pytest.fixture(params=["auto", "legacy"])
def era(request: pytest.FixtureRequest) -> Era:
    return cast("Era", request.param)


@pytest.fixture
def open_tools(era: Era) -> OpenTools:
    """Opens a client of a server with these declarations; waits in it end after 20 seconds."""

    @asynccontextmanager
    async def open_tools(
        principal: Principal | None = None, **tools: Mapping[str, Any] | ToolConfig
    ) -> AsyncGenerator[Client]:
        server = create_server(declare(**tools), principal or create_operator("ada"))
        with anyio.fail_after(20):
            async with Client(server, mode=era) as client:
                yield client

    return open_tools
