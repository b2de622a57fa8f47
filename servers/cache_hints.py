"""How long clients of the newer protocol era may keep what a server says of itself.

What is not in here, such as the list of conversations and what one holds, is stale at once.
"""

from collections.abc import Mapping

from mcp.server.caching import CacheableMethod, CacheHint

_MINUTES = CacheHint(ttl_ms=5 * 60 * 1000)
"""It changes when the server is started again: with another version, or other declarations."""

FIXED: Mapping[CacheableMethod, CacheHint] = {
    "prompts/list": _MINUTES,
    "resources/templates/list": _MINUTES,
    "server/discover": _MINUTES,
    "tools/list": _MINUTES,
}

CHANGING_TOOLS: Mapping[CacheableMethod, CacheHint] = {
    method: hint
    for method, hint in FIXED.items()
    if method not in ("server/discover", "tools/list")
}
"""Of a server whose tools, and what it says of them, change while it runs."""
