"""Names under which models know tools: `server__tool`, up to 64 letters, digits, `_` and `-`."""

import hashlib
import re

MAX_NAME_CHARACTERS = 64
_MAX_SERVER_CHARACTERS = 32
_SERVER = re.compile(r"[A-Za-z0-9-]+(?:_[A-Za-z0-9-]+)*")
_TOOL = re.compile(r"[A-Za-z0-9_-]+")
_ODD = re.compile(r"[^A-Za-z0-9]+")


def create_server_prefix(server: str) -> str:
    """What a server's tools start with: its name, or a shortened one with a hash.

    It holds no `__` and doesn't end in `_`, so the first `__` of a tool's name always ends it, and
    no server can take another's names.
    """
    if len(server) <= _MAX_SERVER_CHARACTERS and _SERVER.fullmatch(server):
        return server
    return _shorten(server, _MAX_SERVER_CHARACTERS, "-")


def create_tool_name(prefix: str, tool: str) -> str:
    """The model's name for a server's tool, the same at every start."""
    room = MAX_NAME_CHARACTERS - len(prefix) - 2
    if len(tool) > room or not _TOOL.fullmatch(tool):
        tool = _shorten(tool, room, "_")
    return f"{prefix}__{tool}"


def _shorten(name: str, length: int, joint: str) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    readable = _ODD.sub(joint, name)[: length - len(digest) - 1].strip(joint)
    return f"{readable}{joint}{digest}" if readable else digest
