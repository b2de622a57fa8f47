"""Which models a running Ollama has, and with how large a window it loads them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import anyio
from anyio import to_thread
from pydantic import BaseModel, ConfigDict, Field

from client.llm.http_client import create_http_client
from client.llm.known_models import OLLAMA_CONTEXT_TOKENS
from client.llm.model_spec import Endpoint

_PROBE_SECONDS = 1.0
_MAX_LOOKS = 8
_PORT = 11_434


@dataclass(frozen=True, slots=True)
class OllamaModel:
    """An installed model and the window that Ollama will give it."""

    name: str
    context_tokens: int
    can_use_tools: bool


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Tag(_Wire):
    name: str


class _Tags(_Wire):
    models: list[_Tag] = Field(default_factory=list[_Tag])


class _Shown(_Wire):
    capabilities: list[str] = Field(default_factory=list)
    parameters: str = ""


def to_ollama_url(host: str) -> str:
    """The address for what OLLAMA_HOST may say: `host`, `host:port`, `:port`, or an address."""
    written = host.strip() or "127.0.0.1"
    has_scheme = "://" in written
    parts = urlsplit(written if has_scheme else f"http://{written}")
    name = parts.hostname or "127.0.0.1"
    if name in ("0.0.0.0", "::"):  # noqa: S104 - what a server listens on is no address to call
        name = "127.0.0.1"
    name = f"[{name}]" if ":" in name else name
    port = parts.port or (None if has_scheme else _PORT)
    return f"{parts.scheme}://{name}" + (f":{port}" if port else "")


async def find_ollama_model(
    endpoint: Endpoint, environment: Mapping[str, str], wanted: str | None = None
) -> OllamaModel | None:
    """The wanted model, else the newest installed one that can use tools, else one that can chat.

    None if Ollama does not answer within a second or has none.
    """
    client = await to_thread.run_sync(create_http_client, endpoint, _PROBE_SECONDS)
    from httpx2 import HTTPError

    headers = {"Authorization": endpoint.basic} if endpoint.basic else {}
    found: OllamaModel | None = None
    with anyio.move_on_after(_PROBE_SECONDS):
        try:
            async with client:
                tags = _Tags.model_validate_json(
                    (await client.get("/api/tags", headers=headers)).content
                )
                names = [tag.name for tag in tags.models if wanted in (None, *_names(tag.name))]
                for name in names[:_MAX_LOOKS]:
                    shown = await client.post("/api/show", headers=headers, json={"model": name})
                    model = _to_model(name, _Shown.model_validate_json(shown.content), environment)
                    if model and model.can_use_tools:
                        return model
                    found = found or model
        except (HTTPError, ValueError):
            return found
    return found


def _names(tag: str) -> tuple[str, str]:
    """`llama3.2:latest` is also called `llama3.2`."""
    return tag, tag.removesuffix(":latest")


def _to_model(name: str, shown: _Shown, environment: Mapping[str, str]) -> OllamaModel | None:
    if shown.capabilities and "completion" not in shown.capabilities:
        return None  # an embedding model
    set_in_model = re.search(r"^num_ctx\s+(\d+)", shown.parameters, re.MULTILINE)
    said = set_in_model[1] if set_in_model else environment.get("OLLAMA_CONTEXT_LENGTH", "")
    tokens = int(said) if said.isdecimal() and int(said) > 0 else OLLAMA_CONTEXT_TOKENS
    return OllamaModel(name, tokens, "tools" in shown.capabilities)
