"""Subscriptions to conversations: what a client hears, on every transport and in both eras."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ResourcesListChanged, ResourceUpdated
from mcp.types import EmptyResult, ResourceUpdatedNotification
from mcp_types import (
    ResourceUpdatedNotificationParams,
    SubscribeRequest,
    SubscribeRequestParams,
    UnsubscribeRequest,
    UnsubscribeRequestParams,
)

from servers.access.contract import (
    OWNER_META_KEY,
    SCOPE_CONVERSATIONS_READ,
    SCOPE_CONVERSATIONS_WRITE,
)
from servers.access.principal import Principal
from servers.conversations.contract import Message
from servers.conversations.file_store import open_file_store
from servers.conversations.store_values import ConversationUpdate
from servers.conversations.watch import MAX_WATCHED_BY_ONE, POLL_SECONDS
from tests.servers.connections import Connections, call, meta_for

PROMISED_SECONDS = 2
READY = "conversation://ready"
HELLO = Message(role="user", content="hello")


@dataclass
class Subscriber:
    """A client, and the URIs of which it hears."""

    client: Client
    next_uri: Callable[[], Awaitable[str]]

    async def hears(self, uri: str) -> None:
        """Next, and as soon as is promised."""
        with anyio.fail_after(PROMISED_SECONDS):
            while (heard := await self.next_uri()) == READY != uri:
                pass
            assert heard == uri

    async def wait_until_ready(self) -> None:
        """A client of the older era opens the stream for what it is told at its leisure."""
        heard = False
        while not heard:
            await append(self.client, "ready")
            with anyio.move_on_after(POLL_SECONDS):
                heard = await self.next_uri() == READY


async def append(client: Client, conversation_id: str, acting_for: str | None = None) -> None:
    await call(
        client,
        "append_messages",
        acting_for=acting_for,
        conversation_id=conversation_id,
        messages=[{"role": "user", "content": "hello"}],
    )


async def ask(
    client: Client, verb: Literal["subscribe", "unsubscribe"], uri: str, owner: str | None = None
) -> None:
    """As clients of the older era do."""
    meta = meta_for(owner)
    if verb == "subscribe":
        request = SubscribeRequest(params=SubscribeRequestParams(uri=uri, _meta=meta))
        await client.session.send_request(request, EmptyResult)
    else:
        stop = UnsubscribeRequest(params=UnsubscribeRequestParams(uri=uri, _meta=meta))
        await client.session.send_request(stop, EmptyResult)


@asynccontextmanager
async def hearing(
    connections: Connections, principal: Principal | None = None, *, delegate: bool = False
) -> AsyncGenerator[tuple[Client, Callable[[], Awaitable[ResourceUpdatedNotificationParams]]]]:
    """A client, and what it is told on its own connection."""
    told, heard = anyio.create_memory_object_stream[ResourceUpdatedNotificationParams](100)

    async def hear(message: object) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            await told.send(message.params)

    with told, heard:
        async with connections.connect(principal, delegate=delegate, hear=hear) as client:
            yield client, heard.receive


@asynccontextmanager
async def subscribed(
    connections: Connections, uris: Sequence[str], principal: Principal | None = None
) -> AsyncGenerator[Subscriber]:
    """A client that subscribed in the way of its era."""
    async with hearing(connections, principal) as (client, receive):
        if connections.era == "legacy":
            for uri in uris:
                await ask(client, "subscribe", uri)

            async def receive_uri() -> str:
                return (await receive()).uri

            yield Subscriber(client, receive_uri)
            return
        async with client.listen(resource_subscriptions=uris) as subscription:
            assert subscription.honored.resource_subscriptions == uris

            async def next_uri() -> str:
                event = await anext(subscription)
                assert isinstance(event, ResourceUpdated)
                return event.uri

            yield Subscriber(client, next_uri)


async def test_a_change_is_told_whoever_made_it(connections: Connections) -> None:
    uris = [READY, "conversation://a", "conversation://b", "conversation://..%2Fc"]
    async with (
        subscribed(connections, uris) as subscriber,
        open_file_store(connections.directory) as elsewhere,
    ):
        await subscriber.wait_until_ready()
        await append(subscriber.client, "a")  # it comes
        await subscriber.hears("conversation://a")
        await elsewhere.append_messages("ada", "b", [HELLO])
        await subscriber.hears("conversation://b")
        await elsewhere.update_conversation("ada", "a", ConversationUpdate(title="t"))
        await subscriber.hears("conversation://a")
        await elsewhere.delete_conversation("ada", "b")
        await subscriber.hears("conversation://b")
        await call(subscriber.client, "delete_conversation", conversation_id="a")
        await subscriber.hears("conversation://a")
        await elsewhere.append_messages("bob", "b", [HELLO])
        await append(subscriber.client, "not subscribed to")
        await append(subscriber.client, "../c")
        await subscriber.hears("conversation://..%2Fc")


async def test_a_uri_is_told_as_it_was_written(in_memory: Connections) -> None:
    async with subscribed(in_memory, ["conversation://a+b"]) as subscriber:
        await append(subscriber.client, "a+b")
        await subscriber.hears("conversation://a+b")


async def test_a_change_of_annotations_is_not_told(in_memory: Connections) -> None:
    """The transcript, which is what the resource is, doesn't show them."""
    async with subscribed(in_memory, ["conversation://a", "conversation://b"]) as subscriber:
        message = {"message_id": "m", "role": "user", "content": "hello"}
        await call(subscriber.client, "append_messages", conversation_id="a", messages=[message])
        await subscriber.hears("conversation://a")
        await call(
            subscriber.client,
            "annotate_message",
            conversation_id="a",
            message_id="m",
            annotations={"seen": True},
        )
        await append(subscriber.client, "b")
        await subscriber.hears("conversation://b")


async def test_who_unsubscribed_is_told_nothing(tmp_path: Path) -> None:
    async with hearing(Connections(tmp_path / "c", "memory", "legacy")) as (client, receive):
        await ask(client, "unsubscribe", "conversation://a")
        for uri in ("conversation://a", "conversation://a", "conversation://b"):
            await ask(client, "subscribe", uri)
        await ask(client, "unsubscribe", "conversation://a")
        await append(client, "a")
        await append(client, "b")
        assert (await receive()).uri == "conversation://b"


async def test_a_delegate_of_the_older_era_is_told_whose_it_is(tmp_path: Path) -> None:
    connections = Connections(tmp_path / "c", "memory", "legacy")
    async with hearing(connections, delegate=True) as (client, receive):
        for owner in ("ada", "bob"):
            await ask(client, "subscribe", "conversation://a", owner)
        await append(client, "a", acting_for="cleo")
        for owner in ("bob", "ada"):
            await append(client, "a", acting_for=owner)
            told = await receive()
            assert (told.uri, (told.meta or {})[OWNER_META_KEY]) == ("conversation://a", owner)
        await ask(client, "unsubscribe", "conversation://a", "ada")
        for owner in ("ada", "bob"):
            await append(client, "a", acting_for=owner)
        assert ((await receive()).meta or {})[OWNER_META_KEY] == "bob"


async def test_the_list_of_conversations_is_listened_to_in_the_newer_era(tmp_path: Path) -> None:
    connections = Connections(tmp_path / "c", "memory", "auto")
    async with (
        connections.connect() as client,
        open_file_store(connections.directory) as elsewhere,
        client.listen(resources_list_changed=True, tools_list_changed=True) as subscription,
    ):
        assert subscription.honored.model_dump(exclude_none=True) == {
            "resources_list_changed": True
        }
        for change in (
            elsewhere.append_messages("ada", "a", [HELLO]),
            elsewhere.update_conversation("ada", "a", ConversationUpdate(title="t")),
            elsewhere.delete_conversation("ada", "a"),
        ):
            await change
            with anyio.fail_after(PROMISED_SECONDS):
                assert await anext(subscription) == ResourcesListChanged()


async def test_each_era_says_what_it_tells(in_memory: Connections) -> None:
    async with in_memory.connect() as client:
        said = client.server_capabilities
        assert said.resources
        assert said.resources.subscribe is True
        assert said.resources.list_changed is (in_memory.era == "auto")
        assert said.tools
        assert said.prompts
        assert (said.tools.list_changed, said.prompts.list_changed) == (False, False)


def writer() -> Principal:
    return Principal("writer", "ada", frozenset({SCOPE_CONVERSATIONS_WRITE}))


async def subscribe(client: Client, era: str, *uris: str, owner: str | None = None) -> None:
    """To succeed or to be refused, in either era."""
    if era == "legacy":
        for uri in uris:
            await ask(client, "subscribe", uri, owner)
    else:
        async with client.listen(resource_subscriptions=uris):
            pass


async def refused(client: Client, era: str, *uris: str, owner: str | None = None) -> Any:
    with pytest.raises(MCPError) as raised:
        await subscribe(client, era, *uris, owner=owner)
    return raised.value


async def test_who_may_not_read_may_not_subscribe(in_memory: Connections) -> None:
    async with in_memory.connect(writer()) as client:
        error = await refused(client, in_memory.era, "conversation://a")
        assert error.data["error"]["code"] == "forbidden"
        assert SCOPE_CONVERSATIONS_READ in error.data["error"]["message"]
    async with in_memory.connect(delegate=True) as client:
        error = await refused(client, in_memory.era, "conversation://a")
        assert error.data["error"]["code"] == "forbidden"
        assert OWNER_META_KEY in error.data["error"]["message"]


@pytest.mark.parametrize(
    "uri", ["conversation://", "conversation://%00", "file:///a", "conversation://" + "x" * 1_025]
)
async def test_what_names_no_conversation_is_refused(in_memory: Connections, uri: str) -> None:
    async with in_memory.connect() as client:
        error = await refused(client, in_memory.era, "conversation://a", uri)
        assert (error.code, error.data) == (-32602, {"uri": uri})


async def test_attachments_are_not_watched(in_memory: Connections) -> None:
    attachment = "conversation://a/attachments/b"
    async with in_memory.connect() as client:
        if in_memory.era == "legacy":
            error = await refused(client, in_memory.era, attachment)
            assert error.code == -32602
            assert "subscribe to their conversation" in error.message
        else:
            async with client.listen(
                resource_subscriptions=[attachment, "conversation://a"]
            ) as news:
                assert news.honored.resource_subscriptions == ["conversation://a"]


async def test_a_client_can_subscribe_to_so_many(in_memory: Connections) -> None:
    many = [f"conversation://{number}" for number in range(MAX_WATCHED_BY_ONE + 1)]
    async with in_memory.connect() as client:
        await subscribe(client, in_memory.era, *many[1:])
        error = await refused(client, in_memory.era, *many)
        assert (error.code, error.data["error"]["code"]) == (-32602, "invalid")
        assert "give up others first" in error.message
        await append(client, "a")


async def test_lists_say_how_long_they_may_be_kept(tmp_path: Path) -> None:
    async with Connections(tmp_path / "c", "memory", "auto").connect() as client:
        await append(client, "a")
        for fixed in (
            await client.list_tools(),
            await client.list_prompts(),
            await client.list_resource_templates(),
        ):
            assert (fixed.ttl_ms, fixed.cache_scope) == (300_000, "private")
        for changing in (
            await client.list_resources(),
            await client.read_resource("conversation://a"),
        ):
            assert (changing.ttl_ms, changing.cache_scope) == (0, "private")
