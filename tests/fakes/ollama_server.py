"""A local server that lists models as Ollama does and answers with chat completions."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.fakes.model_server import FakeModelServer
from tests.fakes.openai_server import ChatFormat
from tests.fakes.replies import FakeReply
from tests.fakes.streaming_http import HttpReply, HttpRequest, open_http_server

_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Installed:
    """A model on the machine. `parameters` as in its Modelfile."""

    name: str
    capabilities: Sequence[str] = ("completion", "tools")
    parameters: str = ""


@asynccontextmanager
async def open_ollama_server(
    *replies: FakeReply, installed: Sequence[Installed] = ()
) -> AsyncGenerator[FakeModelServer]:
    """Serve these models and replies; `base_url` is the server's own address, without `/v1`."""
    servers: list[FakeModelServer] = []
    shown = {model.name: model for model in installed}

    async def handle(request: HttpRequest, http: HttpReply) -> None:
        match request.method, request.path:
            case "GET", "/api/tags":
                tags = {"models": [{"name": model.name} for model in installed]}
                await http.send_whole(200, json.dumps(tags).encode(), _JSON)
            case "POST", "/api/show":
                model = shown[request.json()["model"]]
                facts = {"capabilities": model.capabilities, "parameters": model.parameters}
                await http.send_whole(200, json.dumps(facts).encode(), _JSON)
            case _:
                await servers[0].handle(request, http)

    async with open_http_server(handle) as url:
        servers.append(FakeModelServer(url, ChatFormat(None), replies))
        yield servers[0]
