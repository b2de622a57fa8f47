"""Which embedded model answers, when one does, and what is said where none can."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentic.config.load import load_config
from agentic.config.models import Config, ModelConfig, ModelsConfig
from client.llm.available import NoModelError, find_models
from client.llm.create import create_model
from client.llm.local.engine import is_installed
from client.llm.protocol import ModelUnavailableError
from client.weights.catalogue import DEFAULT_WEIGHTS, KNOWN_WEIGHTS
from client.weights.store import Files
from tests.client.llm.vendors import complete
from tests.fakes.tiny_gguf import write_tiny_gguf

NOWHERE = "http://127.0.0.1:9"
installed = pytest.mark.skipif(not is_installed(), reason="the extra `local` is not installed")


def configure(cache: Path, environment: dict[str, str] | None = None, **models: Any) -> Config:
    by_name = {name: ModelConfig.model_validate(fields) for name, fields in models.items()}
    return Config(
        models=ModelsConfig(by_name=by_name),
        cache_directory=cache,
        environment={"OLLAMA_HOST": NOWHERE, **(environment or {})},
    )


def put_weights(cache: Path, name: str = DEFAULT_WEIGHTS) -> Path:
    """Something that lies where they lie."""
    files = Files(KNOWN_WEIGHTS[name], cache / "models")
    files.directory.mkdir(parents=True, exist_ok=True)
    files.ready.write_bytes(b"GGUF")
    return files.ready


@installed
async def test_weights_that_are_here_answer_where_nothing_else_does(tmp_path: Path) -> None:
    put_weights(tmp_path, "qwen2.5-coder-0.5b")
    assert (await create_model(configure(tmp_path), None, {})).name == "local/qwen2.5-coder-0.5b"
    put_weights(tmp_path)
    (found,) = await find_models(configure(tmp_path), {})
    assert (found.name, found.source) == (f"local/{DEFAULT_WEIGHTS}", "weights on this machine")
    with_key = configure(tmp_path, {"OPENAI_API_KEY": "sk-mine"})
    assert (await create_model(with_key, None, {})).name.startswith("openai/")


@installed
async def test_without_weights_the_way_to_them_is_listed_with_their_size(tmp_path: Path) -> None:
    with pytest.raises(NoModelError, match="no embedded model is here") as caught:
        await create_model(configure(tmp_path), None, {})
    assert " MB download, about 2 GB of memory): `agentic models pull`" in str(caught.value)


def test_without_the_extra_the_command_that_brings_it_is_listed() -> None:
    code = (
        "import sys; sys.modules['xllamacpp'] = None\n"
        "from agentic.config.models import Config, ModelConfig\n"
        "from client.llm.available import NoModelError\n"
        "from client.llm.local.create import create_local_model\n"
        "print(NoModelError('None.'))\n"
        "try: create_local_model(ModelConfig(provider='local'), Config())\n"
        "except ValueError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.count("uv run --extra local agentic chat") == 2
    assert "the engine is not installed" in done.stdout


@installed
async def test_the_configuration_names_weights_or_a_file(tmp_path: Path) -> None:
    write_tiny_gguf(tmp_path / "mine.gguf")
    (tmp_path / "mcp.yml").write_text(
        "models:\n"
        "  usual: {provider: local}\n"
        "  small: {provider: local, model: qwen2.5-coder-0.5b, context_tokens: 4096}\n"
        "  own: {provider: local, path: mine.gguf, max_output_tokens: 99999}\n",
        encoding="utf-8",
    )
    config = load_config({"HOME": str(tmp_path), "MCP_CONFIG_PATH": str(tmp_path / "mcp.yml")})
    assert not config.warnings
    usual, small, own = [await create_model(config, name, {}) for name in ("usual", "small", "own")]
    assert (usual.name, usual.context_tokens) == (f"local/{DEFAULT_WEIGHTS}", 6_144)
    assert (small.name, small.context_tokens) == ("local/qwen2.5-coder-0.5b", 4_096)
    assert (own.name, own.max_output_tokens) == ("local/mine", 1_536)


@installed
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model": "gpt-4"}, "no weights named 'gpt-4'. There are: qwen"),
        ({"path": "/nowhere/x.gguf"}, "/nowhere/x.gguf can't be read"),
        ({"path": __file__}, "is no GGUF file"),
        ({"path": "/tmp"}, "is no file"),
    ],
)
async def test_what_cannot_be_loaded_is_told_before_a_talk_begins(
    tmp_path: Path, fields: dict[str, Any], words: str
) -> None:
    config = configure(tmp_path, mine={"provider": "local", **fields})
    with pytest.raises(NoModelError, match="The model 'mine' of mcp") as caught:
        await create_model(config, None, {})
    assert words in caught.value.reason


@installed
async def test_weights_that_were_changed_are_refused_with_the_fix(tmp_path: Path) -> None:
    put_weights(tmp_path)
    model = await create_model(configure(tmp_path), None, {})
    from client.llm.local.model import LocalModel

    assert isinstance(model, LocalModel)
    async with model.loading.running():
        with pytest.raises(ModelUnavailableError, match="get it again with `agentic models pull"):
            await complete(model)


def test_choosing_imports_neither_engine_nor_http() -> None:
    code = "import sys, client.llm.create; sys.exit(bool({'xllamacpp', 'httpx2'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert done.returncode == 0
