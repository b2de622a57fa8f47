"""Which model answers, by mcp.yml, the environment, the keys file and a running Ollama."""

import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import anyio
import pytest
from anthropic.resources.messages.messages import DEPRECATED_MODELS
from anthropic.types import Model as AnthropicModelName
from openai.types import ChatModel
from pydantic import SecretStr

from agentic.config.models import Config, ModelConfig, ModelsConfig
from client.llm.available import NoModelError, find_models
from client.llm.create import create_model
from client.llm.credentials import find_endpoint
from client.llm.known_models import DEFAULT_MODELS, look_up
from client.llm.ollama import to_ollama_url
from client.llm.protocol import BadKeyError, LanguageModel
from tests.client.llm.vendors import ANTHROPIC, BEDROCK, OPENAI, WITH_KEY, Vendor, complete, listen
from tests.fakes.aws_signature import ENVIRONMENT, REGION
from tests.fakes.ollama_server import Installed, open_ollama_server
from tests.fakes.replies import Fail, Say
from tests.fakes.streaming_http import HttpReply, HttpRequest, open_http_server

NOWHERE = "http://127.0.0.1:9"


def configure(
    environment: dict[str, str] | None = None, default: str | None = None, **models: dict[str, Any]
) -> Config:
    by_name = {name: ModelConfig.model_validate(fields) for name, fields in models.items()}
    return Config(
        models=ModelsConfig(default=default, by_name=by_name),
        environment={"OLLAMA_HOST": NOWHERE, **(environment or {})},
    )


async def choose(
    config: Config, name: str | None = None, keys: dict[str, str] | None = None
) -> LanguageModel:
    secrets = {variable: SecretStr(key) for variable, key in (keys or {}).items()}
    with anyio.fail_after(5):
        return await create_model(config, name, secrets)


async def found(config: Config, keys: dict[str, str] | None = None) -> list[tuple[str, str]]:
    secrets = {variable: SecretStr(key) for variable, key in (keys or {}).items()}
    with anyio.fail_after(5):
        return [(model.name, model.source) for model in await find_models(config, secrets)]


def test_the_defaults_are_models_that_the_installed_sdks_know() -> None:
    literal, _ = get_args(AnthropicModelName)
    assert DEFAULT_MODELS["anthropic"] in get_args(literal)
    assert DEFAULT_MODELS["anthropic"] not in DEPRECATED_MODELS
    assert DEFAULT_MODELS["openai"] in get_args(ChatModel)


async def test_with_a_key_alone_its_vendors_default_answers() -> None:
    config = configure({"OPENAI_API_KEY": "sk-one"})
    assert (await choose(config)).name == f"openai/{DEFAULT_MODELS['openai']}"
    config = configure({"OPENAI_API_KEY": "sk-one", "ANTHROPIC_API_KEY": "sk-ant-two"})
    assert await found(config) == [
        (f"anthropic/{DEFAULT_MODELS['anthropic']}", "ANTHROPIC_API_KEY"),
        (f"openai/{DEFAULT_MODELS['openai']}", "OPENAI_API_KEY"),
    ]


async def test_the_keys_file_counts_after_the_environment() -> None:
    keys = {"OPENAI_API_KEY": "sk-kept"}
    assert await found(configure(), keys) == [
        (f"openai/{DEFAULT_MODELS['openai']}", "the keys file")
    ]
    config = configure({"OPENAI_API_KEY": "sk-set"})
    assert (await found(config, keys))[0][1] == "OPENAI_API_KEY"
    assert (await found(configure({"OPENAI_API_KEY": "  "}), keys))[0][1] == "the keys file"


async def test_without_anything_the_ways_are_listed() -> None:
    with pytest.raises(NoModelError) as caught:
        await choose(configure())
    for way in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "Ollama", "base_url", "scripted"):
        assert way in str(caught.value)


async def test_configured_models_come_first_and_the_default_of_them_first_of_all() -> None:
    tour: dict[str, Any] = {"provider": "scripted"}
    config = configure({"OPENAI_API_KEY": "sk-one"}, default="b", a=tour, b=tour)
    assert await found(config) == [("b", "mcp.yml"), ("a", "mcp.yml")]
    assert (await choose(config)).name == "scripted/tour"


async def test_a_configured_model_without_a_key_is_left_out_of_the_list() -> None:
    config = configure(a={"provider": "openai"}, b={"provider": "scripted"})
    assert await found(config) == [("b", "mcp.yml")]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"provider": "openai"}, "has no key: set OPENAI_API_KEY"),
        ({"provider": "anthropic"}, "has no key: set ANTHROPIC_API_KEY"),
        ({"provider": "ollama", "base_url": NOWHERE}, "not running"),
        ({"provider": "bedrock"}, "has no `model`"),
        ({"provider": "bedrock", "model": "x", "api_key": "k"}, "set AWS_BEARER_TOKEN_BEDROCK"),
        ({"provider": "scripted", "script": Path("/nowhere.yml")}, "can't be read"),
    ],
)
async def test_a_named_model_that_lacks_something_is_told_by_name(
    fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(NoModelError, match="The model 'smart' of mcp") as caught:
        await choose(configure(smart=fields))
    assert words in caught.value.reason


async def test_an_unknown_name_is_told_with_the_known_ones() -> None:
    config = configure(a={"provider": "scripted"}, b={"provider": "scripted"})
    with pytest.raises(NoModelError, match=r"no model 'c' .*a, b"):
        await choose(config, "c")


async def test_a_key_that_can_be_none_is_told_without_showing_it() -> None:
    with pytest.raises(NoModelError, match="OPENAI_API_KEY") as caught:
        await choose(configure({"OPENAI_API_KEY": "sk-one sk-two"}))
    assert "sk-" not in caught.value.reason


@pytest.mark.parametrize("vendor", WITH_KEY, ids=lambda vendor: vendor.provider)
async def test_a_configured_model_is_asked_at_its_address_with_its_key(vendor: Vendor) -> None:
    async with vendor.open_server(Say("Hi")) as server:
        fields = {
            "provider": vendor.provider,
            "model": "some-model",
            "base_url": server.base_url,
            "api_key": vendor.key,
            "temperature": 0.5,
            "max_output_tokens": 77,
            "timeout": 5,
        }
        model = await choose(configure(mine=fields), "mine")
        assert (await complete(model)).text == "Hi"
        (body,) = server.requests
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("some-model", 0.5, 77)


async def test_a_model_of_bedrock_is_asked_at_its_address_in_its_region(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    async with BEDROCK.open_server(Say("Hi"), Say("Ho")) as server:
        fields = {
            "provider": "bedrock",
            "model": BEDROCK.model,
            "base_url": server.base_url,
            "max_output_tokens": 77,
            "temperature": 0.5,
        }
        model = await choose(configure(mine={**fields, "region": REGION}))
        assert (model.name, model.context_tokens) == (f"bedrock/{BEDROCK.model}", 200_000)
        assert (await complete(model)).text == "Hi"
        model = await choose(configure({"AWS_REGION": REGION}, mine=fields))
        assert (await complete(model)).text == "Ho"
    limits = {"maxTokens": 77, "temperature": 0.5}
    assert [body["inferenceConfig"] for body in server.requests] == [limits, limits]


async def test_bedrock_is_never_chosen_because_aws_credentials_are_there() -> None:
    assert await found(configure(ENVIRONMENT)) == []


@pytest.mark.parametrize(
    ("vendor", "address", "key"),
    [
        (ANTHROPIC, "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"),
        (OPENAI, "OPENAI_BASE_URL", "OPENAI_API_KEY"),
    ],
)
async def test_address_and_key_may_both_come_from_the_environment(
    vendor: Vendor, address: str, key: str
) -> None:
    async with vendor.open_server(Say("Hi")) as server:
        config = configure({address: server.base_url, key: vendor.key})
        assert (await complete(await choose(config))).text == "Hi"


@pytest.mark.parametrize("vendor", WITH_KEY, ids=lambda vendor: vendor.provider)
async def test_the_usual_key_goes_to_servers_of_this_machine(vendor: Vendor) -> None:
    async with vendor.open_server(Say("Hi")) as server:
        fields = {"provider": vendor.provider, "base_url": server.base_url}
        environment = {"ANTHROPIC_API_KEY": ANTHROPIC.key, "OPENAI_API_KEY": OPENAI.key}
        model = await choose(configure(environment, mine=fields))
        assert (await complete(model)).text == "Hi"


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("https://api.openai.com/v1", "sk-mine"),
        ("https://eu.api.openai.com/v1", "sk-mine"),
        ("http://localhost:8000/v1", "sk-mine"),
        ("http://[::1]:8000/v1", "sk-mine"),
        ("https://models.example/v1", ""),
        ("https://mine.openai.azure.com/openai/v1", "sk-mine"),
        ("https://openai.com.models.example/v1", ""),
        ("https://notopenai.com/v1", ""),
        ("http://api.openai.com@models.example/v1", ""),
        ("http://192.168.0.7:8000/v1", ""),
    ],
)
def test_the_usual_key_goes_to_no_foreign_server(url: str, key: str) -> None:
    wanted = ModelConfig(provider="openai", base_url=url)
    config = configure({"OPENAI_API_KEY": "sk-mine"})
    assert find_endpoint("openai", wanted, config, {}).key == key


def test_the_usual_key_of_one_vendor_goes_to_no_other() -> None:
    wanted = ModelConfig(provider="openai", base_url="https://api.anthropic.com/v1")
    with pytest.raises(ValueError, match="no key: give it `api_key` beside its `base_url`"):
        find_endpoint("openai", wanted, configure({"OPENAI_API_KEY": "sk-mine"}), {})


async def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", NOWHERE)
    monkeypatch.setenv("ALL_PROXY", NOWHERE)
    async with vendor.open_server(Say("Hi")) as server:
        assert (await complete(vendor.connect(server.base_url))).text == "Hi"
    async with open_ollama_server(installed=[Installed("x")]) as server:
        assert (await choose(configure({"OLLAMA_HOST": server.base_url}))).name == "ollama/x"


async def test_a_wrong_key_is_told_with_where_it_came_from() -> None:
    async with OPENAI.open_server() as server:
        environment = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "sk-wrong"}
        with pytest.raises(BadKeyError, match="check OPENAI_API_KEY"):
            await listen(await choose(configure(environment)))


async def test_a_running_ollama_gives_its_newest_model_with_tools() -> None:
    installed = [
        Installed("nomic-embed-text:latest", ["embedding"]),
        Installed("gemma:2b", ["completion"]),
        Installed("qwen3:8b", ["completion", "tools"], "num_ctx 16384\nstop x"),
        Installed("llama3.2:latest"),
    ]
    async with open_ollama_server(Say("Hi"), installed=installed) as server:
        config = configure({"OLLAMA_HOST": server.base_url})
        assert await found(config) == [("ollama/qwen3:8b", f"Ollama at {server.base_url}")]
        model = await choose(config)
        assert (await complete(model)).text == "Hi"
        assert server.requests[0]["model"] == "qwen3:8b"
    assert model.context_tokens == 16_384
    assert model.max_output_tokens == 4_096


async def test_an_ollama_model_may_be_wanted_by_its_short_name() -> None:
    async with open_ollama_server(installed=[Installed("x"), Installed("y:latest")]) as server:
        wanted = {"provider": "ollama", "base_url": server.base_url, "model": "y"}
        model = await choose(configure({"OLLAMA_CONTEXT_LENGTH": "32768"}, mine=wanted))
        assert (model.name, model.context_tokens) == ("ollama/y:latest", 32_768)
        missing = {"provider": "ollama", "base_url": server.base_url, "model": "z"}
        with pytest.raises(NoModelError, match="has not the model 'z'"):
            await choose(configure(mine=missing))


async def test_the_small_window_of_ollama_keeps_room_for_the_question() -> None:
    async with open_ollama_server(installed=[Installed("x", ["completion"])]) as server:
        model = await choose(configure({"OLLAMA_HOST": server.base_url}))
    assert (model.name, model.context_tokens, model.max_output_tokens) == ("ollama/x", 4_096, 1_024)


@pytest.mark.parametrize("kind", ["hangs", "garbage", "error", "nothing", "embeds"])
async def test_an_ollama_that_does_not_answer_well_is_none(kind: str) -> None:
    async def handle(request: HttpRequest, http: HttpReply) -> None:
        match kind:
            case "hangs":
                await http.wait_for_departure()
            case "garbage":
                await http.send_whole(200, b"<html>", {})
            case "error":
                await http.send_whole(500, b'{"error": "x"}', {})
            case _:
                names = b'{"models": []}' if kind == "nothing" else b'{"models": [{"name": "e"}]}'
                shown = b'{"capabilities": ["embedding"]}'
                await http.send_whole(200, names if request.method == "GET" else shown, {})

    async with open_http_server(handle) as url:
        with pytest.raises(NoModelError):
            await choose(configure({"OLLAMA_HOST": url}))


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        (":8080", "http://127.0.0.1:8080"),
        ("box", "http://box:11434"),
        ("http://box:1234/", "http://box:1234"),
        ("https://box.example", "https://box.example"),
        ("[::1]:99", "http://[::1]:99"),
    ],
)
def test_what_ollama_host_may_say_is_understood(host: str, url: str) -> None:
    assert to_ollama_url(host) == url


async def test_an_ollama_host_that_is_none_is_no_crash() -> None:
    with pytest.raises(NoModelError):
        await choose(configure({"OLLAMA_HOST": "http://[x:port"}))


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("claude-sonnet-5-5", 1_000_000),
        ("claude-haiku-4-5", 200_000),
        ("anthropic/claude-sonnet-4.5", 200_000),
        ("gpt-5.6-terra", 1_050_000),
        ("gpt-5-mini", 400_000),
        ("gpt-4.1", 1_047_576),
        ("gpt-4o-mini", 128_000),
        ("gpt-4", 8_192),
        ("o3-mini", 200_000),
        ("olmo", 32_768),
        ("somebody/mistral", 32_768),
        ("us.anthropic.claude-3-7-sonnet-20250219-v1:0", 200_000),
        ("anthropic.claude-sonnet-5-5", 1_000_000),
        ("arn:aws:bedrock:eu-west-1:1:inference-profile/eu.anthropic.claude-opus-4-1", 200_000),
        ("us-gov.anthropic.claude-3-haiku-20240307-v1:0", 200_000),
        ("amazon.nova-micro-v1:0", 128_000),
        ("apac.amazon.nova-pro-v1:0", 300_000),
        ("global.amazon.nova-2-lite-v1:0", 1_000_000),
        ("meta.llama3-8b-instruct-v1:0", 8_192),
        ("us.meta.llama3-3-70b-instruct-v1:0", 128_000),
        ("openai.gpt-oss-120b-1:0", 128_000),
        ("us.deepseek.r1-v1:0", 128_000),
        ("mistral.mistral-7b-instruct-v0:2", 32_768),
        ("arn:aws:bedrock:us-east-1:1:application-inference-profile/abc123", 32_768),
    ],
)
def test_windows_are_known_by_family(model: str, tokens: int) -> None:
    assert look_up(model).context_tokens == tokens


async def test_a_configured_window_overrides_what_is_known() -> None:
    fields = {"provider": "openai", "base_url": NOWHERE, "model": "x", "context_tokens": 9_000}
    model = await choose(configure(mine=fields))
    assert (model.context_tokens, model.max_output_tokens) == (9_000, 2_250)
    model = await choose(configure(mine={**fields, "max_output_tokens": 4_000}))
    assert model.max_output_tokens == 4_000


def test_choosing_a_model_imports_no_sdk() -> None:
    code = (
        "import sys, client.llm.create, client.llm.tour; "
        "sys.exit(bool({'anthropic', 'openai', 'botocore', 'httpx2'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert done.returncode == 0


async def test_overload_at_the_vendor_is_told_by_the_servers_name() -> None:
    busy = Fail(529, "overloaded_error", headers={"Retry-After": "60"})
    async with ANTHROPIC.open_server(busy) as server:
        environment = {"ANTHROPIC_BASE_URL": server.base_url, "ANTHROPIC_API_KEY": ANTHROPIC.key}
        with pytest.raises(Exception, match=r"127\.0\.0\.1.* is down or overloaded \(HTTP 529\)"):
            await listen(await choose(configure(environment)))
