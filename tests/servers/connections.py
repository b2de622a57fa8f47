"""One client to the conversation server, however it is reached: the same test runs over each way."""

import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import anyio
import pytest
from anyio import to_thread
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream
from mcp import Client, StdioServerParameters

from agentic.config.models import Config, ConversationsConfig
from servers.access.principal import create_operator
from servers.host import open_server

Era = Literal["modern", "legacy"]
Transport = Literal["memory", "stdio", "http"]

_MODES = {"modern": "auto", "legacy": "legacy"}

SERVE = """
import sys, anyio
from functools import partial
from pathlib import Path
from agentic.config.models import Config, ConversationsConfig
from servers.errors import HostError
from servers.host import serve_http, serve_stdio

transport, directory, option = sys.argv[1:]
config = Config(owner="ada", conversations=ConversationsConfig(directory=Path(directory)))
try:
    if transport == "stdio":
        anyio.run(partial(serve_stdio, "conversations", config, delegate=option == "delegate"))
    else:
        host, _, port = option.rpartition(":")
        anyio.run(
            partial(serve_http, "conversations", config, host=host, port=int(port), no_auth=True)
        )
except HostError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""
"""A process that serves what is under a directory: `stdio DIRECTORY -|delegate`, `http DIRECTORY HOST:PORT`."""
