"""The event loop of a command: a signal that was listened to once never ends the process itself.

asyncio puts the system's own answer back when a listener goes: a signal that comes while servers
are being closed, or a turn stored, would kill the process there.
"""

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio

from agentic.cli.piped_output import PipedOutput
from agentic.cli.stopping import STOPPING_SIGNALS, StoppedError, stopped_by

_ENDING_SIGNALS = (*STOPPING_SIGNALS, signal.SIGHUP)
_START_SECONDS = 2.0
"""By then a command has imported what it needs; most have ended."""


def run_stoppable(work: Callable[[], Awaitable[int | None]]) -> int | None:
    """Do the work; a signal that nothing in it listens to cancels it.

    Raises:
        StoppedError: One did; maybe in an exception group.
    """

    async def work_until_stopped() -> int | None:
        async with stopped_by(*STOPPING_SIGNALS):
            try:
                return await work()
            finally:
                with suppress(OSError):  # it is told where the command ends
                    sys.stdout.flush()  # here, where a signal still ends the wait for a reader
        return None

    code = anyio.run(work_until_stopped, backend_options={"loop_factory": _CommandLoop})
    if isinstance(sys.stdout, PipedOutput) and sys.stdout.dropped_for:
        raise StoppedError(sys.stdout.dropped_for)  # which the loop had no time to hear of
    return code


class _CommandLoop(asyncio.SelectorEventLoop):
    """Hears of a terminal that has gone as of SIGTERM, unless it was told to stay (`nohup`).

    Garbage is collected from when the start is over: what was imported is left out for good.
    """

    def __init__(self) -> None:
        super().__init__()
        if not gc.isenabled():
            self.call_later(_START_SECONDS, _collect_garbage)
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            self.add_signal_handler(signal.SIGHUP, signal.raise_signal, signal.SIGTERM)

    def add_signal_handler(self, sig: int, callback: Callable[..., object], *args: Any) -> None:  # noqa: ANN401 - the loop's signature
        """Listen, and hear of it also while a write to standard output blocks this loop."""
        super().add_signal_handler(sig, callback, *args)
        signal.signal(sig, _stop_waiting)

    def remove_signal_handler(self, sig: int) -> bool:
        """Listen no longer; what comes now changes nothing."""
        if sig not in _ENDING_SIGNALS:
            return super().remove_signal_handler(sig)
        if not self.is_closed():
            self.add_signal_handler(sig, _do_nothing)
        return True

    def close(self) -> None:
        """Close it; from here on the process is ending, and how is settled."""
        for number in _ENDING_SIGNALS:
            # Not a handler of ours: the interpreter takes those away as it ends.
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        super().close()


def _collect_garbage() -> None:
    gc.freeze()
    gc.enable()


def _stop_waiting(number: int, _: object) -> None:
    if isinstance(sys.stdout, PipedOutput):
        sys.stdout.stop_waiting(number)


def _do_nothing() -> None:
    pass
