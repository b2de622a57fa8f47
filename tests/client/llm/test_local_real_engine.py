"""The real engine, on a model of noise: whatever it says, it says it in the shape it was given."""

import os
from pathlib import Path

import anyio
import jsonschema
import pytest
from httpx2 import AsyncClient

from agentic.config.models import Config, ModelConfig
from client.llm.local.bounded_schema import to_bounded_schema
from client.llm.local.create import create_local_model
from client.llm.local.engine import EngineSettings, is_installed, open_engine
from client.llm.local.model import LocalModel
from client.llm.protocol import (
    BadRequestError,
    Completion,
    ContextTooLongError,
    ModelUnavailableError,
    TextDelta,
    ToolDefinition,
)
from servers.conversations.contract import Message
from tests.client.llm.vendors import ask, complete, listen, user
from tests.fakes.tiny_gguf import write_tiny_gguf

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not is_installed(), reason="the extra `local` is not installed"),
]
LIMIT_SECONDS = 120
NUMBERS = " ".join(map(str, range(90)))

ODD = 'odd "\\\n'
BOOK = ToolDefinition(
    "shop__book",
    "Books a room",
    {
        "type": "object",
        "$defs": {
            "Guest": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 9}}}
        },
        "properties": {
            "day": {"type": "string", "format": "date"},
            "nights": {"type": "integer", "minimum": 1, "maximum": 9},
            "kind": {"enum": ["single", "double"]},
            "guest": {"$ref": "#/$defs/Guest"},
            "sure": {"type": ["boolean", "null"]},
            "tags": {"type": "array", "maxItems": 2, "items": {"type": "string", "maxLength": 5}},
        },
        "required": ["day", "nights", "kind", "guest", "sure", "tags"],
    },
)
PAY = ToolDefinition(
    "shop__pay",
    "Pays for a room",
    {
        "type": "object",
        "properties": {
            "price": {"type": "number"},
            "number": {"type": "integer", "minimum": 0, "maximum": 999},
            "from": {"type": "string", "format": "date-time"},
            ODD: {"const": 'a\\n"b\nÄ'},
        },
        "required": ["price", "number", "from", ODD],
    },
)
LIST = ToolDefinition(
    "shop__list",
    "Lists rooms",
    {
        "type": "object",
        "properties": {name: {"type": "boolean"} for name in ("free", "large", "quiet")},
    },
)  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("weights") / "noise.gguf")


def create(path: Path, **fields: object) -> LocalModel:
    wanted = ModelConfig.model_validate({"provider": "local", "path": path, **fields})
    return create_local_model(wanted, Config(environment=dict(os.environ)))


async def test_steps_are_bound_to_their_schemas_and_answers_are_streamed(weights: Path) -> None:
    model = create(weights, max_output_tokens=40)
    assert model.name == "local/noise"
    tools = (BOOK, PAY, LIST)
    called: set[str] = set()
    schemas = {tool.name: to_bounded_schema(tool.input_schema) for tool in tools}
    with anyio.fail_after(LIMIT_SECONDS):
        async with model.loading.running():
            for number, tool in enumerate(tools * 4):
                done = await complete(model, ask(user(f"Room {number}?"), tools=[tool]))
                assert done.usage.input_tokens > 50
                for call in done.tool_calls:
                    jsonschema.validate(call.arguments, schemas[call.name])
                    called.add(call.name)
            events = await listen(model, ask(user("Say something")))
            last = events[-1]
            assert isinstance(last, Completion)
            assert last.stop_reason in ("max_tokens", "end")
            assert 0 < last.usage.output_tokens <= 40
            assert any(isinstance(event, TextDelta) for event in events)
            # What was read before is not read again.
            again = await complete(model, ask(user("Say something")))
            assert again.usage.cached_input_tokens > again.usage.input_tokens // 2
    assert called == {*schemas}


async def test_what_is_left_of_a_conversation_is_not_read_again(weights: Path) -> None:
    model = create(weights, max_output_tokens=1)
    talk = [
        Message(role=role, content=f"{role} says {number}: {NUMBERS}", message_id=f"{number}{role}")
        for number in range(4)
        for role in ("user", "assistant")
    ]
    with anyio.fail_after(LIMIT_SECONDS):
        async with model.loading.running():
            await complete(model, ask(*talk, user("And now?")))
            slid = await complete(model, ask(*talk[2:], user("And now?")))
            others = [message.model_copy(update={"message_id": None}) for message in talk[4:]]
            other = await complete(model, ask(*others, user("And now?")))
    assert slid.usage.cached_input_tokens > 0.8 * slid.usage.input_tokens
    assert other.usage.cached_input_tokens < 0.5 * other.usage.input_tokens


@pytest.mark.parametrize(
    ("kind", "words"),
    [("cut", r"damaged\.gguf was cut short"), ("noise", r"can't load .*damaged\.gguf")],
)
async def test_a_damaged_file_is_told_by_name(
    weights: Path, tmp_path: Path, kind: str, words: str
) -> None:
    damaged = tmp_path / "damaged.gguf"
    whole = weights.read_bytes()
    damaged.write_bytes(whole)
    model = create(damaged)
    damaged.write_bytes(whole[: len(whole) // 2] if kind == "cut" else b"GGUF" + bytes(5_000))
    with anyio.fail_after(LIMIT_SECONDS):
        async with model.loading.running():
            with pytest.raises(ModelUnavailableError, match=words):
                await complete(model)


@pytest.mark.parametrize("window", [4_096, 12_288])
async def test_a_window_holds_what_was_wanted_of_it(weights: Path, window: int) -> None:
    """A large one is shared by the prompts, which takes less memory than one for each."""
    model = create(weights, context_tokens=window, max_output_tokens=4)
    with anyio.fail_after(LIMIT_SECONDS):
        async with model.loading.running():
            one, two = [
                (await complete(model, ask(user(NUMBERS * times)))).usage.input_tokens
                for times in (1, 2)
            ]
            most = 1 + (window * 9 // 10 - one) // (two - one)
            full = await complete(model, ask(user(NUMBERS * most)))
            assert full.usage.input_tokens > window * 3 // 4
            # The other prompts have room beside it.
            await complete(model, ask(user(NUMBERS), tools=[LIST]))
            with pytest.raises(BadRequestError, match=r"^The message is longer than"):
                await complete(model, ask(user(NUMBERS * most * 4)))
            many = [
                user(NUMBERS * most),
                Message(role="assistant", content="Well."),
                user(NUMBERS * most),
            ]
            with pytest.raises(ContextTooLongError):
                await complete(model, ask(*many))


async def test_others_on_the_machine_can_neither_ask_nor_read_it(weights: Path) -> None:
    settings = EngineSettings(weights, 4_096, 1, dict(os.environ))
    question = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    with anyio.fail_after(LIMIT_SECONDS):
        async with open_engine(settings) as engine, AsyncClient(base_url=engine.address) as client:
            for path in ("/v1/chat/completions", "/completion", "/apply-template", "/tokenize"):
                assert (await client.post(path, json=question)).status_code == 401
            for path in ("/props", "/slots", "/metrics"):
                assert (await client.get(path)).status_code == 401
            ours = {"Authorization": f"Bearer {engine.key}"}
            answer = await client.post("/v1/chat/completions", json=question, headers=ours)
            assert answer.status_code == 200
