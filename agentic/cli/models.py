"""`agentic models list|pull|remove`: what can answer, and the weights of what runs here."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from anyio import to_thread

from agentic.cli.failures import CommandError, UsageError
from agentic.cli.invocation import Invocation, note
from agentic.cli.pull_view import showing_pull
from agentic.cli.stopping import STOPPING_SIGNALS, StoppedError, stopped_by
from agentic.cli.terminal_text import clean, one_line, to_json
from agentic.config.keys import load_keys
from agentic.config.models import Config
from client.llm.available import NoModelError, find_models, open_configured
from client.weights.catalogue import DEFAULT_WEIGHTS, KNOWN_WEIGHTS, Weights, find_weights
from client.weights.errors import NoRoomError, UnknownWeightsError
from client.weights.pull import pull_weights
from client.weights.room import Room, to_mb
from client.weights.store import Files, State, read_state, remove_weights

_SECTIONS = ("models", "cache_directory")


@dataclass(frozen=True, slots=True)
class _ListedModel:
    """A model by the user's name for it, and what it is or why it can't be used."""

    name: str
    default: bool
    model: str | None
    source: str
    reason: str | None = None


def list_models(invocation: Invocation, *, as_json: bool) -> int:
    """A line for each model and each of the known weights, or one JSON object."""

    async def work(config: Config) -> None:
        models = await _find_models(config)
        weights = [
            (each, await to_thread.run_sync(read_state, Files(each, _directory(config))))
            for each in KNOWN_WEIGHTS.values()
        ]
        if as_json:
            described = {
                "models": [asdict(model) for model in models],
                "weights": [_describe(each, state) for each, state in weights],
            }
            sys.stdout.write(to_json(described) + "\n")
            return
        sys.stdout.write("Models:\n" if models else "Models: none yet (`agentic chat` helps).\n")
        sys.stdout.writelines(f"  {_render_model(model)}\n" for model in models)
        sys.stdout.write(f"Weights in {clean(str(_directory(config)))}:\n")
        sys.stdout.writelines(f"  {_render_weights(*each)}\n" for each in weights)

    return invocation.run(work, sections=_SECTIONS)


def pull_model(
    invocation: Invocation,
    name: str | None,
    *,
    anyway: bool,
    known: Mapping[str, Weights] = KNOWN_WEIGHTS,
) -> int:
    """Fetch, and print the file's path. Stopped, it says how to go on."""

    async def work(config: Config) -> None:
        weights = _find(DEFAULT_WEIGHTS if name is None else name, known)
        if not anyway:
            await to_thread.run_sync(_check_memory, weights)
        path = await _pull(weights, config)
        sys.stdout.write(f"{clean(str(path))}\n")

    return invocation.run(work, sections=_SECTIONS)


def remove_model(
    invocation: Invocation, name: str, *, known: Mapping[str, Weights] = KNOWN_WEIGHTS
) -> int:
    """Delete the files of some weights."""

    async def work(config: Config) -> None:
        weights = _find(name, known)
        removed = await to_thread.run_sync(remove_weights, Files(weights, _directory(config)))
        note(f"Removed: {to_mb(removed)}." if removed else f"{weights.name} is not here.")

    return invocation.run(work, sections=_SECTIONS)


def _check_memory(weights: Weights) -> None:
    try:
        Room().check_memory(weights)
    except NoRoomError as error:
        raise CommandError(f"{error} To fetch them all the same, say --anyway.") from None


async def _pull(weights: Weights, config: Config) -> Path:
    """The verified file.

    Raises:
        StoppedError: A signal came.
        WeightsError: They can't be had.
    """
    files = Files(weights, _directory(config))
    before = await to_thread.run_sync(read_state, files)
    if before.kind == "ready":
        note(f"{weights.name} is here already.")
        return before.path
    try:
        async with stopped_by(*STOPPING_SIGNALS):
            with showing_pull() as on_progress:
                return await pull_weights(
                    weights,
                    files.directory,
                    on_progress,
                    environment=config.environment,
                )
    except StoppedError:
        percent = _percent(weights, await to_thread.run_sync(read_state, files))
        note(
            f"Stopped. {percent}% is here and kept: "
            f"go on with `agentic models pull {weights.name}`."
        )
        raise


def _directory(config: Config) -> Path:
    return config.cache_directory / "models"


def _find(name: str, known: Mapping[str, Weights]) -> Weights:
    if not name.strip():
        names = ", ".join(known)
        raise UsageError(f"NAME is empty: is a variable not set? The weights are: {names}.")
    try:
        return find_weights(name, known)
    except UnknownWeightsError as error:
        raise UsageError(str(error)) from None


def _percent(weights: Weights, state: State) -> int:
    return 100 * state.done_bytes // weights.size_bytes


def _describe(weights: Weights, state: State) -> dict[str, object]:
    return {
        "name": weights.name,
        "title": weights.title,
        "size_bytes": weights.size_bytes,
        "memory_bytes": weights.memory_bytes,
        "state": state.kind,
        "done_bytes": state.done_bytes,
        "path": str(state.path),
    }


def _render_weights(weights: Weights, state: State) -> str:
    match state.kind:
        case "ready":
            here = "ready"
        case "unchecked":
            here = "here, verified when it is used next"
        case "damaged":
            pull = f"`agentic models pull {weights.name}`"
            here = f"damaged, {state.fault}: {'move it away' if state.is_in_the_way else pull}"
        case "partial":
            here = f"{_percent(weights, state)}% here: `agentic models pull {weights.name}`"
        case "absent":
            here = f"not here: `agentic models pull {weights.name}`"
    return f"{weights.name:<20} {to_mb(weights.size_bytes):>9}  {here}"


async def _find_models(config: Config) -> list[_ListedModel]:
    keys = load_keys(config.config_directory)
    if not config.models.by_name:
        found = await find_models(config, keys)
        return [
            _ListedModel(each.name, number == 0, each.model.name, each.source)
            for number, each in enumerate(found)
        ]
    default = config.models.default or next(iter(config.models.by_name))
    listed: list[_ListedModel] = []
    for name in config.models.by_name:
        try:
            found = await open_configured(name, config, keys)
        except NoModelError as error:
            listed.append(_ListedModel(name, name == default, None, "mcp.yml", error.reason))
        else:
            listed.append(_ListedModel(name, name == default, found.model.name, found.source))
    return listed


def _render_model(model: _ListedModel) -> str:
    usual = " (default)" if model.default else ""
    state = model.reason or f"{model.model}, from {model.source}"
    return one_line(f"{model.name}{usual}: {state}", 1_000)
