"""The embedded model as the configuration wants it, or as it lies ready."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from anyio import to_thread

from agentic.config.models import Config, ModelConfig
from client.llm.local.cores import count_cores
from client.llm.local.engine import EngineSettings, is_installed
from client.llm.local.loading import Loading
from client.llm.local.model import LocalModel
from client.weights.catalogue import DEFAULT_WEIGHTS, KNOWN_WEIGHTS, Weights, find_weights
from client.weights.errors import NoRoomError, WeightsError
from client.weights.own_file import check_own_file
from client.weights.progress import Progress
from client.weights.pull import ensure_weights
from client.weights.room import Room, to_mb
from client.weights.store import Files, read_state, to_readings

INSTALL = "run it with the extra `local`: `uv run --extra local agentic chat`"

_CONTEXT_TOKENS = 6_144
_LEAST_WINDOW_TOKENS = 4_096
"""The prompts that choose among tools and collect about the user must fit, too."""
_ANSWER_TOKENS = 1_024
_WORKING_BYTES = 700_000_000
"""What an engine takes beside the weights, roughly: the window and its results on the way."""

GetWeights = Callable[[Callable[[Progress], None]], Awaitable[Path]]


def create_local_model(wanted: ModelConfig, config: Config) -> LocalModel:
    """The model, not loaded yet: without a `path` or a name the usual one.

    Raises:
        ValueError: It can't be had; says what to do.
    """
    if not is_installed():
        raise ValueError(f"the engine is not installed: {INSTALL}")
    try:
        if wanted.path is not None:
            path = check_own_file(wanted.path)
            about = "I speak through a language model that you chose. I don't know who trained it."
            return _create(wanted, config, path.stem, about, partial(_check_own, path))
        weights = find_weights(wanted.model or DEFAULT_WEIGHTS)
    except WeightsError as error:
        raise ValueError(str(error).removesuffix(".")) from None
    about = (
        f"I speak through {weights.title.partition(' Instruct')[0]}, a language model of Alibaba "
        "Cloud."
    )
    return _create(wanted, config, weights.name, about, partial(_get_known, weights, config))


async def find_local_model(config: Config) -> LocalModel | None:
    """The first of the known models whose weights are here; None without the extra.

    A damaged file counts as well: to fetch it anew, without a word, is not for us to decide.
    """
    if not is_installed():
        return None
    preferred = sorted(KNOWN_WEIGHTS.values(), key=lambda each: each.name != DEFAULT_WEIGHTS)
    for weights in preferred:
        files = Files(weights, config.cache_directory / "models")
        state = await to_thread.run_sync(read_state, files)
        if state.kind in ("ready", "unchecked", "damaged"):
            return create_local_model(ModelConfig(provider="local", model=weights.name), config)
    return None


def describe_size() -> str:
    """What the usual model costs, for those who consider it."""
    weights = KNOWN_WEIGHTS[DEFAULT_WEIGHTS]
    memory = weights.memory_bytes / 1_000_000_000
    return f"{to_mb(weights.size_bytes)} download, about {memory:.0f} GB of memory"


def _create(
    wanted: ModelConfig, config: Config, name: str, about: str, get_weights: GetWeights
) -> LocalModel:
    context_tokens = wanted.context_tokens or _CONTEXT_TOKENS
    answer_tokens = min(wanted.max_output_tokens or _ANSWER_TOKENS, context_tokens // 4)

    def create_settings(path: Path) -> EngineSettings:
        return EngineSettings(
            path,
            max(context_tokens, _LEAST_WINDOW_TOKENS),
            count_cores(),
            config.environment,
            readings=to_readings(config.cache_directory / "models"),
            is_verified=wanted.path is None,
        )

    return LocalModel(
        Loading(get_weights, create_settings),
        model=name,
        about=about,
        context_tokens=context_tokens,
        max_output_tokens=max(1, answer_tokens),
        timeout_seconds=wanted.timeout_seconds,
        temperature=wanted.temperature,
    )


async def _get_known(
    weights: Weights, config: Config, on_progress: Callable[[Progress], None]
) -> Path:
    """The verified file, fetched if need be.

    Raises:
        WeightsError: It can't be had, or the memory does not hold it.
    """
    room = Room()
    await to_thread.run_sync(room.check_memory, weights)
    directory = config.cache_directory / "models"
    return await ensure_weights(
        weights, directory, on_progress, environment=config.environment, room=room
    )


async def _check_own(path: Path, _on_progress: Callable[[Progress], None]) -> Path:
    """The user's own file, which may have changed meanwhile.

    Raises:
        WeightsError: It is no such file any more, or the memory does not hold it.
    """
    return await to_thread.run_sync(_check_own_now, path)


def _check_own_now(path: Path) -> Path:
    check_own_file(path)
    needed = path.stat().st_size + _WORKING_BYTES
    available = Room().read_available_memory()
    if available is not None and available < needed:
        raise NoRoomError(
            f"{path} takes about {to_mb(needed)} of memory when it runs, and {to_mb(available)} "
            "are available here: end other programs, or take a smaller model."
        )
    return path
