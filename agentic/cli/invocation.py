"""Runs one command: configuration, logs, signals, messages and the exit code."""

import contextlib
import logging
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agentic.cli.failures import describe_failure

if TYPE_CHECKING:  # pydantic is not needed for `agentic --help`
    from agentic.config.models import Config

STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM)
Work = Callable[["Config"], Awaitable[int | None]]


@dataclass(frozen=True, slots=True)
class Invocation:
    """What was said before the command's name."""

    config_path: Path | None = None
    verbose: bool = False

    def run(self, work: Work, *, signals: Sequence[signal.Signals] = STOPPING_SIGNALS) -> int:
        """Do the work of a command with the configuration; return its exit code.

        One of `signals` cancels the work, which then has the time to leave things whole.
        """
        self._set_up_streams()
        try:
            exit_code = self._run(work, signals)
            sys.stdout.flush()
        except KeyboardInterrupt:
            exit_code = 128 + signal.SIGINT
        except Exception as error:  # noqa: BLE001 - boundary: everything becomes a message and an exit code
            exit_code = self._report(error)
        _flush_or_drop_output()
        return exit_code

    def _run(self, work: Work, signals: Sequence[signal.Signals]) -> int:
        import anyio

        from agentic.cli.compose import read_config

        config = read_config(os.environ, self.config_path)
        for warning in config.warnings:
            note(f"Warning: {warning}")
        return anyio.run(_supervise, work, config, signals)

    def _set_up_streams(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError):
                stream.reconfigure(errors="replace")  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        level = logging.INFO if self.verbose else logging.CRITICAL
        logging.basicConfig(
            level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )

    def _report(self, error: Exception) -> int:
        failure = describe_failure(error)
        if self.verbose:
            note("".join(traceback.format_exception(error)))
        if failure.message:
            note(f"Error: {failure.message}")
        return failure.exit_code


def note(text: str) -> None:
    """Say something on stderr that is no result."""
    from agentic.cli.terminal_text import clean

    with contextlib.suppress(OSError, AttributeError):  # stderr may be closed
        sys.stderr.write(clean(text) + "\n")
        sys.stderr.flush()


async def _supervise(work: Work, config: "Config", signals: Sequence[signal.Signals]) -> int:
    import anyio

    received: list[int] = []

    async def cancel_on_signal(scope: anyio.CancelScope) -> None:
        with anyio.open_signal_receiver(*signals) as arriving:
            async for number in arriving:
                received.append(number)
                scope.cancel()

    result: int | None = None
    async with anyio.create_task_group() as watching:
        watching.start_soon(cancel_on_signal, watching.cancel_scope)
        result = await work(config)
        watching.cancel_scope.cancel()
    return 128 + received[0] if received else result or 0


def _flush_or_drop_output() -> None:
    """Leave nothing in stdout's buffer that the interpreter would fail to write at its exit."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        with contextlib.suppress(OSError, ValueError, AttributeError):
            os.dup2(nowhere, sys.stdout.fileno())
