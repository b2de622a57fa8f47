"""Runs the engine in a process of its own: started, watched, ended with whoever opened it."""

import importlib.util
import json
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
from anyio import to_thread
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

_PROGRAM = (sys.executable, "-P", str(Path(__file__).with_name("engine_process.py")))
_START_SECONDS = 180.0
"""A gigabyte from a slow disk, on a busy machine."""
_STOP_SECONDS = 3.0
_MAX_LINE_BYTES = 65_536
_PASSED_ON = ("PATH", "HOME", "TMPDIR", "LANG", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


class EngineError(Exception):
    """The engine does not run. The text says why and what to do."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What an engine loads and may use. `program` is the command that speaks as it does.

    `readings` is the folder for what it has read, None to keep nothing of it. `is_verified`: the
    weights are known to be as they should be.
    """

    path: Path
    context_tokens: int
    threads: int
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    program: Sequence[str] = _PROGRAM
    readings: Path | None = None
    is_verified: bool = False


class Engine:
    """An engine that is up, at an address only we have the key of."""

    def __init__(self, address: str, key: str, process: Process, settings: EngineSettings) -> None:
        self.address = address
        self.key = key
        self.settings = settings
        self._process = process

    @property
    def has_ended(self) -> bool:
        """It is gone."""
        return self._process.returncode is not None

    async def wait_ended(self) -> str:
        """Wait for an end that nobody asked for; what to tell about it."""
        return _describe_end(await self._process.wait())


@asynccontextmanager
async def open_engine(settings: EngineSettings) -> AsyncGenerator[Engine]:
    """An engine, once it has loaded its weights; it ends with the context.

    It also ends when this process does, however that dies: its standard input ends then.

    Raises:
        EngineError: It can't be started, or not with these weights.
    """
    settings = await to_thread.run_sync(_prepare, settings)
    process = await _start(settings)
    try:
        yield await _begin(process, settings)
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process)


def is_installed() -> bool:
    """Whether the extra `local` is."""
    return importlib.util.find_spec("xllamacpp") is not None


def _prepare(settings: EngineSettings) -> EngineSettings:
    """With a folder for readings that is there, or without one: it does without."""
    try:
        if settings.readings is not None:
            settings.readings.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return replace(settings, readings=None)
    return settings


async def _start(settings: EngineSettings) -> Process:
    try:
        return await anyio.open_process(
            settings.program,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_to_environment(settings.environment),
            start_new_session=True,  # Ctrl-C in the terminal is meant for us alone
        )
    except OSError as error:
        raise EngineError(
            f"The engine can't be started ({error.strerror}: {error.filename})."
        ) from None


def _to_environment(ours: Mapping[str, str]) -> dict[str, str]:
    """No secret of ours is of any use there."""
    kept = {name: ours[name] for name in _PASSED_ON if name in ours}
    return {**kept, **_find_openmp(ours)}


def _find_openmp(ours: Mapping[str, str]) -> dict[str, str]:
    """Where the OpenMP library is that slim images lack."""
    folders = [Path(folder) / "cmeel.prefix" / "lib" for folder in sys.path if folder]
    found = [str(folder) for folder in folders if (folder / "libgomp.so.1").exists()]
    before = ours.get("LD_LIBRARY_PATH", "")
    paths = [path for path in (*found[:1], before) if path]
    return {"LD_LIBRARY_PATH": ":".join(paths)} if paths else {}


async def _begin(process: Process, settings: EngineSettings) -> Engine:
    key = secrets.token_urlsafe(32)
    wanted = {
        "path": str(settings.path),
        "key": key,
        "context_tokens": settings.context_tokens,
        "threads": settings.threads,
        "readings": None if settings.readings is None else str(settings.readings),
    }
    assert process.stdin is not None
    assert process.stdout is not None
    answer = b""
    try:
        with anyio.fail_after(_START_SECONDS):
            # By the pipe: an argument or a variable can be read by others on the machine.
            await process.stdin.send(json.dumps(wanted).encode() + b"\n")
            output = BufferedByteReceiveStream(process.stdout)
            answer = await output.receive_until(b"\n", _MAX_LINE_BYTES)
            said = json.loads(answer)
    except TimeoutError:
        raise EngineError(
            f"The engine did not load {settings.path} within {_START_SECONDS:g} seconds."
        ) from None
    except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
        raise EngineError(await _explain_early_end(process, settings)) from None
    except (ValueError, anyio.DelimiterNotFound):
        raise EngineError("The engine said something that can't be understood.") from None
    if "address" not in said:
        raise EngineError(_explain_refusal(str(said.get("error")), settings))
    return Engine(str(said["address"]), key, process, settings)


async def _explain_early_end(process: Process, settings: EngineSettings) -> str:
    with anyio.move_on_after(_STOP_SECONDS):
        return f"{_describe_end(await process.wait())} It was loading {settings.path}."
    return "The engine closed its output while it was starting."


def _explain_refusal(error: str, settings: EngineSettings) -> str:
    if error.startswith(("ImportError", "ModuleNotFoundError", "OSError")):
        return (
            f"The engine can't be loaded ({error}): install the extra `local` anew, for example "
            "with `uv sync --extra local`."
        )
    if settings.is_verified:
        return (
            f"The engine can't load {settings.path} ({error}). The file is as it should be, so "
            f"most likely there is too little memory for it and {settings.context_tokens:,} tokens "
            "(`context_tokens` of the model in mcp.yml): end other programs, or take a smaller "
            "model (qwen2.5-coder-0.5b)."
        )
    return (
        f"The engine can't load {settings.path} ({error}): the file is damaged, is no model of a "
        f"kind it knows, or needs more memory than there is for {settings.context_tokens:,} tokens "
        "(`context_tokens` of the model in mcp.yml). Copy or fetch it again, or end other "
        "programs."
    )


def _describe_end(returncode: int) -> str:
    if returncode == -signal.SIGKILL:
        return (
            "The engine was killed: most likely the machine ran out of memory. End other programs, "
            "or take a smaller model (qwen2.5-coder-0.5b)."
        )
    if returncode < 0:
        with suppress(ValueError):
            return f"The engine crashed ({signal.Signals(-returncode).name})."
    return f"The engine ended by itself (exit code {returncode})."


async def _end(process: Process) -> None:
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        assert process.stdin is not None
        await process.stdin.aclose()
    with anyio.move_on_after(_STOP_SECONDS):
        await process.wait()
    if process.returncode is None:
        process.kill()
    await process.aclose()
