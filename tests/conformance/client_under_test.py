"""The hub, used as the suite's scenarios expect a client to be: connect, list, call.

The suite starts a program for each scenario. That program is a few lines which hand the scenario
over to this process, where all is imported already; dozens of them start at once.
"""

import json
import sys
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from client.asking.forms import Field, NumberField, TextField, Value, YesNoField
from client.asking.questions import Answer, FormQuestion, Question
from client.asking.server_questions import DirectAnswerer
from client.hub.errors import HubError
from client.hub.hub import Hub, open_hub
from client.hub.servers import HttpTarget, HubServer, HubTool, OAuth
from tests.ports import free_port

_PROGRAM = """\
import json, os, socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as test:
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
    test.sendall(json.dumps([sys.argv[2], context]).encode() + b"\\n")
    said = b"".join(iter(lambda: test.recv(65_536), b""))
sys.exit(said.decode() or 0)
"""
_CLIENT_METADATA_URL = "https://conformance-test.local/client-metadata.json"
"""The one document that the suite's authorization server knows."""
_CONNECT_SECONDS = 20.0
_MAX_LINE_BYTES = 1024 * 1024
_EXAMPLES: dict[str, object] = {"string": "text", "number": 2, "integer": 2, "boolean": True}


@asynccontextmanager
async def open_clients(folder: Path) -> AsyncGenerator[str]:
    """The command by which the suite gets its clients; they keep their log-ins in `folder`."""
    program = folder / "client.py"
    program.write_text(_PROGRAM)

    async def take_scenario(suite: SocketStream) -> None:
        async with suite:
            line = await BufferedByteReceiveStream(suite).receive_until(b"\n", _MAX_LINE_BYTES)
            url, context = json.loads(line)
            failures = await _run_scenario(url, context, folder / "logins.json")
            await suite.send("\n".join(str(failure) for failure in failures).encode() or b"")

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, take_scenario)
        port = listener.listeners[0].extra(SocketAttribute.local_port)
        yield f"{sys.executable} -I -S {program} {port}"
        tasks.cancel_scope.cancel()


async def _run_scenario(url: str, context: Mapping[str, Any], logins: Path) -> list[HubError]:
    oauth = OAuth(
        logins,
        show=_consent,
        redirect_port=free_port(),
        client_id=context.get("client_id"),
        client_secret=context.get("client_secret"),
        client_metadata_url=_CLIENT_METADATA_URL,
    )
    server = HubServer(name="judge", target=HttpTarget(url, oauth=oauth))
    try:
        async with open_hub([server], can_ask=True) as hub:
            await hub.wait_settled(_CONNECT_SECONDS)
            await hub.wait_ready(timeout_seconds=0)
            return await _call_all(hub, context)
    except HubError as error:
        return [error]


async def _call_all(hub: Hub, context: Mapping[str, Any]) -> list[HubError]:
    failures: list[HubError] = []
    for tool, arguments in _calls(hub.tools(), context):
        try:
            answerer = DirectAnswerer(_Agreeing(), "judge", tool, timeout_seconds=10)
            await hub.call_tool("judge", tool, arguments, timeout_seconds=10, answerer=answerer)
        except HubError as error:
            failures.append(error)
    return failures


def _calls(
    tools: Sequence[HubTool], context: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Those that the scenario names, else each tool once."""
    if "toolCalls" in context:
        yield from ((call["name"], call["arguments"]) for call in context["toolCalls"])
    else:
        yield from ((tool.tool, _examples(tool.definition.input_schema)) for tool in tools)


def _examples(schema: Mapping[str, Any]) -> dict[str, object]:
    properties = schema.get("properties", {})
    return {
        name: _EXAMPLES[properties[name]["type"]]
        for name in schema.get("required", [])
        if properties[name].get("type") in _EXAMPLES
    }


class _Agreeing:
    """Leaves each form as it is, and fills in only what has to be and has no preset."""

    async def ask(self, question: Question) -> Answer:
        match question:
            case FormQuestion(form=form):
                missing = [f for f in form.fields if f.required and f.preset is None]
                return Answer("accept", {field.name: _fill_in(field) for field in missing})
            case _:
                return Answer("accept")


def _fill_in(field: Field) -> Value:
    match field:
        case YesNoField():
            return True
        case NumberField():
            return 2
        case TextField():
            return "text"
        case _:
            return field.parse("1")


async def _consent(url: str) -> None:
    """Be the person: agree at once, to everything."""
    async with httpx2.AsyncClient(follow_redirects=True) as browser:
        await browser.get(url)
