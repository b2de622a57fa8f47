"""Tools declared from pydantic models: what happens when they fail, and what is said as text."""

import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import anyio
import pytest
from mcp import Client
from mcp.server import Server
from mcp.shared.exceptions import MCPError
from mcp.types import TextContent, ToolAnnotations
from pydantic import BaseModel, Field

from servers.access.principal import Principal, create_operator
from servers.conversations.server import create_server
from servers.conversations.store import ConversationStore
from servers.faults import ContentFreeFormatter
from servers.typed_arguments import ToolArguments
from servers.typed_tools import Caller, ToolHandlers, TypedTool
from tests.servers.connections import call, fail

WRITTEN = "what somebody wrote"


class Order(ToolArguments):
    """What is ordered."""

    count: int = Field(default=1, ge=1, description="How many.")


class Delivery(BaseModel):
    """What is delivered."""

    items: list[str]
    note: str | None = None


class SoldOutError(Exception):
    """There is nothing left."""


def explain(error: Exception) -> Mapping[str, object] | None:
    if isinstance(error, SoldOutError):
        return {"code": "sold_out", "message": str(error), "retry_after_seconds": 60}
    return None


def create_shop(
    order: Callable[[Caller, Order], Awaitable[Delivery]], *, scope: str = "tools:call"
) -> Server[Any]:
    tool = TypedTool(
        name="order",
        title="Order",
        description="Orders.",
        scope=scope,
        annotations=ToolAnnotations(),
        arguments=Order,
        result=Delivery,
        call=order,
    )
    handlers = ToolHandlers([tool], create_operator("ada"), explain)
    return Server("shop", on_list_tools=handlers.list_tools, on_call_tool=handlers.call_tool)


@pytest.fixture(params=["auto", "legacy"])
def mode(request: pytest.FixtureRequest) -> str:
    return request.param


async def test_a_result_has_every_field_and_is_repeated_as_text(mode: str) -> None:
    async def order(caller: Caller, given: Order) -> Delivery:
        return Delivery(items=[caller.owner] * given.count)

    with anyio.fail_after(5):
        async with Client(create_shop(order), mode=mode) as client:
            assert await call(client, "order") == {"items": ["ada"], "note": None}
            small = await client.call_tool("order", {"count": 3})
            [text] = small.content
            assert isinstance(text, TextContent)
            assert json.loads(text.text) == small.structured_content
            large = await client.call_tool("order", {"count": 20_000})
            [text] = large.content
            assert isinstance(text, TextContent)
            assert "items: 20000" in text.text
            assert len(cast("dict[str, Any]", large.structured_content)["items"]) == 20_000


async def test_a_failure_the_server_knows_has_its_code(mode: str) -> None:
    async def order(caller: Caller, given: Order) -> Delivery:
        raise SoldOutError("nothing left")

    with anyio.fail_after(5):
        async with Client(create_shop(order), mode=mode) as client:
            error = await fail(client, "order")
            assert error == {
                "code": "sold_out",
                "message": "nothing left",
                "retry_after_seconds": 60,
            }


async def test_a_missing_scope_is_told_before_anything_else(mode: str) -> None:
    async def order(caller: Caller, given: Order) -> Delivery:
        raise AssertionError

    with anyio.fail_after(5):
        async with Client(create_shop(order, scope="shop:buy"), mode=mode) as client:
            error = await fail(client, "order", count="many")
            assert (error["code"], "shop:buy" in error["message"]) == ("forbidden", True)


async def test_an_unexpected_failure_has_a_reference_and_shows_no_contents(
    mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def order(caller: Caller, given: Order) -> Delivery:
        raise RuntimeError(WRITTEN)

    with anyio.fail_after(5):
        async with Client(create_shop(order), mode=mode) as client:
            error = await fail(client, "order")
    assert error["code"] == "unavailable"
    assert WRITTEN not in str(error)
    [reference] = re.findall(r"reference (\w{8})\b", error["message"])
    logged = "\n".join(map(ContentFreeFormatter("%(message)s").format, caplog.records))
    assert reference in logged
    assert "RuntimeError" in logged
    assert "in order" in logged
    assert WRITTEN not in logged


def fail_at_something() -> None:
    try:
        raise ValueError(WRITTEN)
    except ValueError as error:
        raise ExceptionGroup(WRITTEN, [KeyError(WRITTEN)]) from error


def test_a_logged_exception_shows_types_and_places_only() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        fail_at_something()
    info = (raised.type, raised.value, raised.tb)
    record = logging.LogRecord("n", logging.ERROR, "p", 1, "it failed", None, info)
    text = ContentFreeFormatter().format(record)
    assert WRITTEN not in text
    for known in ("it failed", "ExceptionGroup", "KeyError", "ValueError", "fail_at_something"):
        assert known in text


class FailingStore:
    """Fails at everything as no store should."""

    def __getattr__(self, verb: str) -> Callable[..., Awaitable[None]]:
        async def fail(*_: object, **__: object) -> None:
            raise RuntimeError(WRITTEN)

        return fail


async def test_an_unexpected_failure_beside_the_tools_shows_no_contents_either(mode: str) -> None:
    store = cast("ConversationStore", FailingStore())
    principal = Principal("reader", "ada", frozenset({"conversations:read"}))
    with anyio.fail_after(5):
        async with Client(create_server(store, principal), mode=mode) as client:
            for attempt in (
                lambda: client.list_resources(),
                lambda: client.read_resource("conversation://c"),
                lambda: client.get_prompt("continue_conversation", {"conversation_id": "c"}),
            ):
                with pytest.raises(MCPError) as raised:
                    await attempt()
                assert raised.value.code == -32603
                assert WRITTEN not in str(raised.value.error)
