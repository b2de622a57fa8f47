"""Runs one command: configuration, logs, signals, messages and the exit code."""

import contextlib
import io
import logging
import os
import signal
import stat
import sys
import traceback
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TextIO

from agentic.cli.command_loop import run_stoppable
from agentic.cli.compose import check_trust, read_config
from agentic.cli.failures import describe_failure
from agentic.cli.piped_output import PipedOutput, name_output
from agentic.cli.terminal_text import clean
from agentic.config.models import Config

_OTHERS = 0o077

Work = Callable[[Config], Awaitable[int | None]]


@dataclass(frozen=True, slots=True)
class Invocation:
    """What was said before the command's name."""

    config_path: Path | None = None
    verbose: bool = False

    def run(
        self,
        work: Work,
        *,
        sections: Collection[str] | None = None,
        needs_trust: bool = True,
        tells_broken_tools: bool = True,
        log_level: int | None = logging.ERROR,
    ) -> int:
        """Do the work of a command with the configuration; return its exit code.

        `sections`: what of the configuration the command reads, if not all. Without
        `tells_broken_tools` it says itself which declarations can't be used. `log_level`: from
        where on logs go to stderr without -v; None: the command sees to that itself. A failed turn
        is told by its command, so by default only what nobody expected is logged as well.
        """

        def begin() -> int | None:
            config = self._read_config(sections, needs_trust=needs_trust)
            if tells_broken_tools:
                _tell_broken_tools(config)
            return run_stoppable(partial(work, config))

        return self._guard(begin, log_level)

    def run_unconfigured(self, work: Callable[[Mapping[str, str]], Awaitable[int]]) -> int:
        """Do the work of a command that reads the configuration itself, in this environment."""
        environ = dict(os.environ)  # noqa: TID251 - read here, once
        return self._guard(lambda: run_stoppable(partial(work, environ)), logging.ERROR)

    def _guard(self, begin: Callable[[], int | None], log_level: int | None) -> int:
        _set_up_streams()
        _set_up_files()
        if log_level is not None:
            self._set_up_logs(log_level)
        try:
            exit_code = begin() or 0
            sys.stdout.flush()
        except KeyboardInterrupt:
            exit_code = 128 + signal.SIGINT
        except Exception as error:  # noqa: BLE001 - boundary: everything becomes a message and an exit code
            exit_code = self._report(error)
        _flush_or_drop_output()
        return exit_code

    def _read_config(self, sections: Collection[str] | None, *, needs_trust: bool) -> Config:
        config = read_config(
            os.environ,  # noqa: TID251 - read here, once
            self.config_path,
            sections,
        )
        for warning in config.warnings:
            note(f"Warning: {warning}")
        if needs_trust:
            check_trust(config)
        return config

    def _set_up_logs(self, log_level: int) -> None:
        level = logging.INFO if self.verbose else log_level
        logging.basicConfig(
            level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        for name in ("httpx", "httpx2"):  # they log every address, and the bot's hold its token
            logging.getLogger(name).setLevel(logging.WARNING)
        if not self.verbose:
            # The SDK reports what a server says wrong with a traceback; the hub tells it in words.
            logging.getLogger("mcp").setLevel(logging.CRITICAL)
            logging.getLogger("client").addFilter(lambda record: record.name != "client")

    def _report(self, error: Exception) -> int:
        failure = describe_failure(error)
        if self.verbose:
            note("".join(traceback.format_exception(error)))
        if failure.message:
            note(f"Error: {failure.message}")
        return failure.exit_code


def _tell_broken_tools(config: Config) -> None:
    for findings in config.broken_tools.values():
        note("\n".join(f"Warning: {finding}; this tool is left out" for finding in findings))


def _set_up_streams() -> None:
    """No character of an answer may end a command, nor may a stream that its caller closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - for good
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    mode = _mode_of(sys.stdout)
    if stat.S_ISFIFO(mode):
        sys.stdout = PipedOutput(sys.stdout)
    elif mode and sys.stdout is sys.__stdout__ and not sys.stdout.isatty():
        sys.stdout = name_output(sys.stdout)


def _set_up_files() -> None:
    """What is stored is its owner's to read, whatever shell it is made from, and nobody else's."""
    os.umask(os.umask(_OTHERS) & _OTHERS)
    if sys.getfilesystemencoding() == "ascii":
        note("Warning: only names of files in ASCII can be used here: set PYTHONUTF8=1.")


def _mode_of(stream: TextIO) -> int:
    try:
        return os.fstat(stream.fileno()).st_mode
    except OSError:  # a stream without a descriptor
        return 0


def note(text: str) -> None:
    """Say something on stderr that is no result."""
    with contextlib.suppress(OSError):  # who does not listen has no need to
        sys.stderr.write(clean(text) + "\n")
        sys.stderr.flush()


def _flush_or_drop_output() -> None:
    """Leave nothing in stdout's buffer that the interpreter would fail to write at its exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
