"""Hearing of changed tools from a modern server, which tells only those who ask."""

import anyio
from mcp import Client, MCPError
from mcp.client.subscriptions import SubscriptionLost
from mcp_types import METHOD_NOT_FOUND

from client.hub.link import Link

_MAX_DELAY_SECONDS = 60.0
_STABLE_SECONDS = 10.0


async def listen(client: Client, link: Link) -> None:
    """Hear of changed tools from a modern server, for as long as it lets us."""
    delay = 1.0
    while True:
        began = anyio.current_time()
        try:
            async with client.listen(tools_list_changed=True) as subscription:
                # What changed before is not told.
                link.doubt()
                async for _ in subscription:
                    link.doubt()
        except MCPError as error:
            if error.code == METHOD_NOT_FOUND:
                return
        except SubscriptionLost:
            pass
        if anyio.current_time() - began > _STABLE_SECONDS:
            delay = 1.0
        await anyio.sleep(delay)
        delay = min(2 * delay, _MAX_DELAY_SECONDS)
