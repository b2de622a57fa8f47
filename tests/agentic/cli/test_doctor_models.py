"""What `agentic doctor` says of models: asked without cost, told apart, no key shown."""

import json
import os
from email.utils import formatdate

import pytest

from client.llm.local.engine import is_installed
from tests.agentic.cli.doctor_findings import examine, only
from tests.agentic.cli.real_command import RealCommand
from tests.fakes.ollama_server import Installed, open_ollama_server
from tests.fakes.streaming_http import HttpReply, HttpRequest, open_http_server

KEY = "sk-ant-sekret-key-of-the-tests"


@pytest.mark.slow
async def test_without_any_model_the_way_to_one_is_told(command: RealCommand) -> None:
    _, found = await examine(command)
    state, text = only(found, "models")
    assert state == "warning"
    assert "not set up" in text
    assert "ANTHROPIC_API_KEY" in text


def listing(*models: str) -> bytes:
    return json.dumps({"data": [{"id": each} for each in models]}).encode()


async def answer_as_vendors(request: HttpRequest, http: HttpReply) -> None:
    """A base path for each kind of server."""
    kind, _, rest = request.path.removeprefix("/").partition("/")
    headers = {"Content-Type": "application/json"}
    status, body = 404, b"{}"
    authorised = KEY in (request.headers.get("authorization", "").split()[-1:] or [""])
    match kind, rest:
        case "vendor", "v1/models/claude-x" if request.headers["x-api-key"] == KEY:
            status, body = 200, b'{"id": "claude-x"}'
        case "lists", "models" if authorised:
            status, body = 200, listing("qwen", "llama")
        case "refuses", _:
            status = 401
        case "page", _:
            status, body = 200, b"<html>Log in</html>"
        case "redirects", _:
            status, headers = 302, {"Location": "http://127.0.0.1:9/"}
        case _:
            pass
    await http.send_whole(status, body, {**headers, "Date": formatdate(usegmt=True)})


@pytest.mark.slow
async def test_each_model_is_asked_without_cost_and_told_apart(command: RealCommand) -> None:
    async with open_http_server(answer_as_vendors) as url:
        kinds = {
            "known": ("anthropic", "vendor", "claude-x"),
            "listed": ("openai", "lists", "qwen"),
            "absent": ("openai", "lists", "gpt"),
            "refused": ("openai", "refuses", "x"),
            "silent": ("openai", "nothing", "x"),
            "page": ("openai", "page", "x"),
            "moved": ("openai", "redirects", "x"),
        }
        models = {
            name: {
                "provider": provider,
                "base_url": f"{url}/{path}",
                "model": model,
                "api_key": "${MY_KEY}",
            }
            for name, (provider, path, model) in kinds.items()
        }
        models["gone"] = {
            "provider": "openai",
            "base_url": "http://me:sekretpw@127.0.0.1:9/v1?k=sekretquery",
            "model": "x",
        }
        models["ollama"] = {"provider": "ollama", "model": "qwen3"}
        command.configure(json.dumps({"models": models}))
        variables = {"MY_KEY": KEY}
        ended, found = await examine(command, environment=variables)
        shown = await command.run("doctor", environment=variables)

    states = {name: only(found, f"models/{name}") for name in models}
    assert states["known"][0] == states["listed"][0] == "ok"
    assert "has qwen" in states["listed"][1]
    assert states["absent"][0] == "problem"
    assert "qwen, llama" in states["absent"][1]
    assert states["refused"][0] == "problem"
    assert "api_key" in states["refused"][1]
    assert states["silent"][0] == "warning"
    for name in ("page", "moved", "gone", "ollama"):
        assert states[name][0] == "problem", name
    assert only(found, "clock") == ("ok", "within 60 s of that of 127.0.0.1 ")
    assert (ended.exit_code, shown.exit_code) == (1, 1)
    assert "sekret" not in ended.output + ended.notes + shown.output + shown.notes


@pytest.mark.slow
async def test_what_is_found_without_configuration_is_asked_too(command: RealCommand) -> None:
    async with (
        open_http_server(answer_as_vendors) as url,
        open_ollama_server(installed=[Installed("qwen3:latest")]) as ollama,
    ):
        by_key = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": f"{url}/refuses"}
        _, refused = await examine(command, environment=by_key)
        _, local = await examine(command, environment={"OLLAMA_HOST": ollama.base_url})
    [name] = [check for check in refused if check.startswith("models/anthropic/")]
    assert refused[name][0]["state"] == "problem"
    assert "ANTHROPIC_API_KEY" in refused[name][0]["fix"]
    assert only(local, "models/ollama/qwen3:latest")[0] == "ok"


@pytest.mark.slow
async def test_credentials_of_aws_are_looked_for_and_no_model_is_asked(
    command: RealCommand,
) -> None:
    models = {"cloud": {"provider": "bedrock", "model": "x.y-v1:0", "region": "eu-central-1"}}
    command.configure(json.dumps({"models": models}))
    nowhere = {"AWS_EC2_METADATA_DISABLED": "true"}
    keys = {"AWS_ACCESS_KEY_ID": "AKIASEKRET", "AWS_SECRET_ACCESS_KEY": "sekretsekret"}
    _, without = await examine(command, environment=nowhere)
    ended, found = await examine(command, environment={**nowhere, **keys})
    state, text = only(without, "models/cloud")
    assert state == "problem"
    assert "AWS_PROFILE" in text
    assert only(found, "models/cloud")[0] == "ok"
    assert "sekret" not in (ended.output + ended.notes).lower()


@pytest.mark.slow
@pytest.mark.skipif(not is_installed(), reason="the extra `local` is not installed")
async def test_weights_are_ok_only_if_they_can_be_used(command: RealCommand) -> None:
    folder = command.home / ".cache/agentic/models"
    folder.mkdir(parents=True)
    file = folder / "qwen2.5-coder-0.5b.gguf"
    file.touch()
    os.truncate(file, 491_400_064)  # a hole, which takes no room
    _, unverified = await examine(command)
    os.truncate(file, 400_000_000)
    _, cut = await examine(command)
    (command.home / "own.gguf").write_bytes(b"GGUF")
    command.configure("models: {own: {provider: local, path: own.gguf}}\n")
    _, own = await examine(command)
    state, text = only(unverified, "models/local/qwen2.5-coder-0.5b")
    assert state == "warning"
    assert "was not verified yet" in text
    state, text = only(cut, "models/local/qwen2.5-coder-0.5b")
    assert state == "problem"
    assert "400,000,000 bytes, not 491,400,064 agentic models pull qwen2.5-coder-0.5b" in text
    state, text = only(own, "models/own")
    assert state == "problem"
    assert "was cut short" in text


@pytest.mark.slow
async def test_a_clock_that_is_off_is_noticed(command: RealCommand) -> None:
    async def answer(request: HttpRequest, http: HttpReply) -> None:
        date = formatdate(1_000_000_000, usegmt=True)
        await http.send_whole(200, listing("x"), {"Date": date})

    async with open_http_server(answer) as url:
        model = {"provider": "openai", "base_url": url, "model": "x"}
        command.configure(json.dumps({"models": {"m": model}}))
        _, found = await examine(command)
    state, text = only(found, "clock")
    assert state == "warning"
    assert "ahead of that of 127.0.0.1" in text
