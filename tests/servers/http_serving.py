"""All servers in one process over HTTP, asked by hand: what a client would not send can be sent."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx2
from anyio.abc import Process
from mcp_types import CLIENT_CAPABILITIES_META_KEY, PROTOCOL_VERSION_META_KEY

from servers.access.contract import SCOPES
from tests.servers.token_file import TokenFile

LIMIT_SECONDS = 60
"""For whatever a test waits for: machines can be busy."""

Era = Literal["modern", "older"]
VERSIONS: Mapping[Era, str] = {"modern": "2026-07-28", "older": "2025-11-25"}
ALL_SCOPES = frozenset(SCOPES)
OWN_SCOPES = ALL_SCOPES - {"delegate"}

_ACCEPT = {"accept": "application/json, text/event-stream"}
_NAMED_BY: Mapping[str, str] = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
}


@dataclass
class Serving:
    """A process that serves over HTTP, its tokens, and what it has logged."""

    process: Process
    home: Path
    tokens: TokenFile
    log: str = ""
    urls: dict[str, str] = field(default_factory=dict[str, str])
    """Each server's, by name."""
    is_announced: anyio.Event = field(default_factory=anyio.Event)

    @property
    def origin(self) -> str:
        return "/".join(self.urls["conversations"].split("/")[:3])

    @property
    def port(self) -> int:
        return int(self.origin.rpartition(":")[2])

    @property
    def store(self) -> Path:
        return self.home / "conversations"

    def create_token(self, name: str, owner: str, scopes: Collection[str] = OWN_SCOPES) -> str:
        return self.tokens.create(name, owner, scopes)[1]

    async def read_log(self) -> None:
        """Take in what the process says, to its end."""
        assert self.process.stderr is not None
        async for chunk in self.process.stderr:
            self.log += chunk.decode()
            announced = [line for line in self.log.splitlines() if " listens at http" in line]
            self.urls = {line.split()[0]: line.split()[-1] for line in announced}
            if self.urls.keys() >= {"conversations", "tools"}:
                self.is_announced.set()


def write_config(home: Path, text: str = "", *, access: str = "") -> Path:
    """The `mcp.yml` of servers that keep everything in `home`."""
    file = home / "mcp.yml"
    file.write_text(
        f"owner: ada\ndata_directory: {home}\nconversations: {{directory: {home}/conversations}}\n"
        f"access: {{tokens_file: {home}/tokens.json, {access}}}\n{text}",
        encoding="utf-8",
    )
    return file


def serve_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "agentic", "serve", *arguments]


def environment(home: Path, config: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "MCP_CONFIG_PATH": str(config)}


@asynccontextmanager
async def serving(
    home: Path,
    *,
    access: str = "",
    config: str = "",
    limit_seconds: float = LIMIT_SECONDS,
    max_open_files: int | None = None,
) -> AsyncGenerator[Serving]:
    """`agentic serve all`; all that is done with it ends within `limit_seconds`."""
    file = write_config(home, config, access=access)
    command = serve_command("all", "--http", "127.0.0.1:0")
    if max_open_files is not None:
        command = ["sh", "-c", f'ulimit -n {max_open_files}; exec "$@"', "sh", *command]
    with anyio.fail_after(limit_seconds):
        async with (
            await anyio.open_process(
                command, stdin=subprocess.DEVNULL, env=environment(home, file), cwd=home
            ) as process,
            anyio.create_task_group() as tasks,
        ):
            served = Serving(process, home, TokenFile(home / "tokens.json"))
            try:
                tasks.start_soon(served.read_log)
                await served.is_announced.wait()
                yield served
            finally:
                if process.returncode is None:
                    process.kill()


@asynccontextmanager
async def serving_conversations(
    home: Path, port: int, *arguments: str, access: str = ""
) -> AsyncGenerator[Process]:
    """Only these, at a port of the test's, so that they can be away and come back."""
    home.mkdir(exist_ok=True)
    command = serve_command("conversations", "--http", f"127.0.0.1:{port}", *arguments)
    given = environment(home, write_config(home, access=access))
    async with await anyio.open_process(command, stdin=subprocess.DEVNULL, env=given) as process:
        try:
            assert process.stderr is not None
            with anyio.fail_after(LIMIT_SECONDS):
                while b"listens at" not in await process.stderr.receive():
                    pass
            yield process
        finally:
            if process.returncode is None:
                process.kill()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the whole text, and the JSON-RPC message in it, if there is one."""

    status: int
    text: str
    message: Mapping[str, Any]

    @property
    def result(self) -> dict[str, Any]:
        assert "result" in self.message, self
        return self.message["result"]

    @property
    def error_code(self) -> str | int | None:
        """Of a tool's error result or of a JSON-RPC error; a word of ours where there is one."""
        match self.message:
            case {"error": {"data": {"error": {"code": str(code)}}}}:
                return code
            case {"error": {"code": int(code)}}:
                return code
            case {"result": {"isError": True, "structuredContent": {"error": {"code": str(code)}}}}:
                return code
            case _:
                return None


@dataclass
class Asker:
    """One client of one server with one token, in one era."""

    http: httpx2.AsyncClient
    url: str
    era: Era
    token: str | None = None
    session: str | None = None

    async def begin(self) -> Answer:
        """In the older era: open a session."""
        info = {"name": "test", "version": "1"}
        version = VERSIONS[self.era]
        params = {"protocolVersion": version, "capabilities": {}, "clientInfo": info}
        answer = await self.ask("initialize", params)
        if self.session:
            note = {"jsonrpc": "2.0", "method": "notifications/initialized"}
            await self.http.post(self.url, json=note, headers=self.headers())
        return answer

    def headers(self, method: str = "", params: Mapping[str, Any] | None = None) -> dict[str, str]:
        found = {**_ACCEPT, "mcp-protocol-version": VERSIONS[self.era]}
        if self.token is not None:
            found["authorization"] = f"Bearer {self.token}"
        if self.session is not None:
            found["mcp-session-id"] = self.session
        if self.era == "modern" and method:
            found["mcp-method"] = method
            if method in _NAMED_BY:
                found["mcp-name"] = str((params or {}).get(_NAMED_BY[method], ""))
        return found

    async def ask(
        self, method: str, params: Mapping[str, Any] | None = None, *, owner: str | None = None
    ) -> Answer:
        """One request. Of a stream that goes on, the first event."""
        async with self.open(method, params, owner=owner) as response:
            self.session = response.headers.get("mcp-session-id", self.session)
            text = ""
            async for line in response.aiter_lines():
                text += line + "\n"
                if line.startswith("data: {"):
                    return Answer(response.status_code, text, json.loads(line[6:]))
        is_json = text.startswith("{")
        return Answer(response.status_code, text, json.loads(text) if is_json else {})

    def open(
        self, method: str, params: Mapping[str, Any] | None = None, *, owner: str | None = None
    ) -> AbstractAsyncContextManager[httpx2.Response]:
        """One request, its answer yet to be read."""
        meta: dict[str, Any] = {} if owner is None else {"agentic/owner": owner}
        if self.era == "modern":
            meta[PROTOCOL_VERSION_META_KEY] = VERSIONS["modern"]
            meta[CLIENT_CAPABILITIES_META_KEY] = {}
        given = {**(params or {}), **({"_meta": meta} if meta else {})}
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": given}
        headers = self.headers(method, params)
        return self.http.stream("POST", self.url, json=body, headers=headers)

    async def call(
        self, tool: str, arguments: Mapping[str, Any] | None = None, *, owner: str | None = None
    ) -> Answer:
        """One call of a tool."""
        params = {"name": tool, "arguments": arguments or {}}
        return await self.ask("tools/call", params, owner=owner)
