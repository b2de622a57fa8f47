"""Subscriptions to conversations, as each protocol era has them.

The older era's `resources/subscribe` lasts as long as the connection, whose own channel carries
the news. The newer one's `subscriptions/listen` is a request that is answered by them.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import anyio
from anyio.abc import TaskGroup
from mcp.server import Server, ServerRequestContext
from mcp.server.connection import Connection
from mcp.server.subscriptions import SUBSCRIPTION_ID_META_KEY, ResourcesListChanged, ResourceUpdated
from mcp.shared.subscriptions import event_to_notification
from mcp_types import (
    EmptyResult,
    SubscribeRequestParams,
    SubscriptionFilter,
    SubscriptionsAcknowledgedNotification,
    SubscriptionsAcknowledgedNotificationParams,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
    UnsubscribeRequestParams,
)

from servers.access.contract import OWNER_META_KEY, SCOPE_CONVERSATIONS_READ
from servers.access.principal import Callers, ForbiddenError, Principal
from servers.conversations.contract_uris import parse_attachment_uri, parse_uri
from servers.conversations.errors import told_as_mcp_errors
from servers.conversations.resources import not_found
from servers.conversations.store import ConversationStore
from servers.conversations.store_errors import InvalidError
from servers.conversations.watch import MAX_WATCHED_BY_ONE, Watch, Watched, Watcher
from servers.typed_tools import ArgumentsT, Caller, ResultT, TypedTool

_WATCHER = "agentic.watcher"
"""Where a connection of the older era keeps its watcher."""


@dataclass(frozen=True, slots=True)
class Running:
    """What a server has while it runs: on stdio for one connection, over HTTP for all of them."""

    watch: Watch
    tasks: TaskGroup


class Subscriptions:
    """The handlers of `resources/subscribe`, `resources/unsubscribe`, `subscriptions/listen`."""

    def __init__(self, store: ConversationStore, callers: Callers) -> None:
        self._store = store
        self._callers = callers
        self._watches: set[Watch] = set()

    @asynccontextmanager
    async def lifespan(self, server: Server[Running]) -> AsyncGenerator[Running]:  # noqa: ARG002 - the SDK's signature
        """The tasks of a server that runs: they end with it."""
        watch = Watch(self._store)
        self._watches.add(watch)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(watch.look_again_and_again)
                tasks.start_soon(watch.look_where_touched)
                yield Running(watch, tasks)
                tasks.cancel_scope.cancel()
        finally:
            self._watches.remove(watch)

    def noticing(self, tool: TypedTool[ArgumentsT, ResultT]) -> TypedTool[ArgumentsT, ResultT]:
        """`tool`, whose changes are looked for at once, and not only when everything is."""
        if tool.annotations.read_only_hint:
            return tool

        async def call(caller: Caller, given: ArgumentsT) -> ResultT:
            result = await tool.call(caller, given)
            named = [getattr(each, "conversation_id", None) for each in (given, result)]
            for watch in self._watches:
                watch.touch(caller.owner, [each for each in named if isinstance(each, str)])
            return result

        return replace(tool, call=call)

    async def subscribe(
        self, ctx: ServerRequestContext[Running], params: SubscribeRequestParams
    ) -> EmptyResult:
        """Tell this connection of changes of one conversation, which need not exist yet."""
        with told_as_mcp_errors("resources/subscribe"):
            principal, owner = self._authorize(ctx)
            watched = _to_watched(owner, params.uri)
            running, connection = ctx.lifespan_context, _connection_of(ctx)
            watcher = connection.state.get(_WATCHER)
            if not isinstance(watcher, Watcher) or watcher.is_closed:
                watcher = connection.state[_WATCHER] = Watcher(self._allows(ctx.request))
                connection.exit_stack.callback(running.watch.remove, watcher)
                running.tasks.start_soon(_tell, connection, watcher, principal.is_delegate)
            watcher.is_allowed = self._allows(ctx.request)
            await running.watch.add(watcher, [watched])
            return EmptyResult()

    async def unsubscribe(
        self, ctx: ServerRequestContext[Running], params: UnsubscribeRequestParams
    ) -> EmptyResult:
        """Tell this connection no more of a conversation; of one it isn't told of, likewise."""
        with told_as_mcp_errors("resources/unsubscribe"):
            _, owner = self._authorize(ctx)
            watched = _to_watched(owner, params.uri)
            watcher = _connection_of(ctx).state.get(_WATCHER)
            if isinstance(watcher, Watcher):
                ctx.lifespan_context.watch.stop(watcher, watched)
            return EmptyResult()

    async def listen(
        self, ctx: ServerRequestContext[Running], params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        """Tell of changes of one owner's conversations, and of their list, on this answer."""
        watch, watcher = ctx.lifespan_context.watch, Watcher(self._allows(ctx.request))
        meta: dict[str, Any] = {SUBSCRIPTION_ID_META_KEY: ctx.request_id}
        wanted = params.notifications
        uris = [
            uri
            for uri in wanted.resource_subscriptions or ()
            if parse_attachment_uri(uri) is None  # what is not honored is left out
        ]
        honored = SubscriptionFilter(
            resources_list_changed=wanted.resources_list_changed or None,
            resource_subscriptions=uris or None,
        )
        try:
            with told_as_mcp_errors("subscriptions/listen"):
                _, owner = self._authorize(ctx)
                watched = [_to_watched(owner, uri) for uri in uris[: MAX_WATCHED_BY_ONE + 1]]
                if honored.resources_list_changed:
                    watched.append(Watched(owner))
                await watch.add(watcher, watched)
            acknowledged = SubscriptionsAcknowledgedNotificationParams(
                notifications=honored, _meta=meta
            )
            await ctx.session.send_notification(
                SubscriptionsAcknowledgedNotification(params=acknowledged), ctx.request_id
            )
            while (changed := await watcher.next_change()) is not None:
                event = ResourceUpdated(changed.uri) if changed.uri else ResourcesListChanged()
                await ctx.session.send_notification(
                    event_to_notification(event, meta), ctx.request_id
                )
        finally:
            watch.remove(watcher)
        return SubscriptionsListenResult(_meta=meta)

    def _authorize(self, ctx: ServerRequestContext[Any]) -> tuple[Principal, str]:
        principal = self._callers.of(ctx.request)
        principal.require(SCOPE_CONVERSATIONS_READ)
        return principal, principal.acting_owner(ctx.meta)

    def _allows(self, request: object) -> Callable[[], bool]:
        """Whether who made this request might still make it."""

        def is_allowed() -> bool:
            try:
                self._callers.of(request).require(SCOPE_CONVERSATIONS_READ)
            except ForbiddenError:
                return False
            return True

        return is_allowed


async def _tell(connection: Connection, watcher: Watcher, names_owner: bool) -> None:  # noqa: FBT001 - `start_soon` passes by place
    """Send what a watcher hears; to a delegate with the owner, as one URI is in use by many."""
    while (changed := await watcher.next_change()) is not None:
        meta = {OWNER_META_KEY: changed.owner} if names_owner else None
        await connection.send_resource_updated(changed.uri, meta=meta)


def _connection_of(ctx: ServerRequestContext[Any]) -> Connection:
    """Handlers are meant to use its state and its end, and given no public way to it."""
    return ctx.session._connection  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def _to_watched(owner: str, uri: str) -> Watched:
    conversation_id = parse_uri(uri)
    if conversation_id is None:
        if parse_attachment_uri(uri) is not None:
            raise InvalidError("attachments are not watched: subscribe to their conversation")
        raise not_found(uri)
    return Watched(owner, conversation_id, uri)
