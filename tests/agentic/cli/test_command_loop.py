"""Signals before, while and after a command listens to them."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from tests.agentic.cli.real_command import LIMIT_SECONDS, RealCommand

_HEAD = """
import os, signal, sys
import anyio
from agentic.cli.command_loop import run_stoppable

def raise_all():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(os.getpid(), number)
"""


async def _run(work: str, *, ignored: bool = False) -> subprocess.CompletedProcess[bytes]:
    with anyio.fail_after(LIMIT_SECONDS):
        return await anyio.run_process(
            # `nohup` leaves the signal ignored.
            ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", sys.executable, "-c", _HEAD + work]
            if ignored
            else [sys.executable, "-c", _HEAD + work],
            check=False,
        )


async def test_what_no_longer_listens_for_a_signal_is_not_killed_by_it() -> None:
    ended = await _run("""
async def work():
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT):
        pass
    raise_all()
    await anyio.sleep(0.05)
    print("last words")
    return 3

code = run_stoppable(work)
raise_all()
sys.exit(code)
""")
    assert (ended.returncode, ended.stdout) == (3, b"last words\n"), ended.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_that_nobody_listens_to_cancels_the_work_in_order(number: int) -> None:
    ended = await _run(f"""
from agentic.cli.failures import describe_failure

async def work():
    try:
        os.kill(os.getpid(), {int(number)})
        await anyio.sleep_forever()
    finally:
        raise_all()
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.05)
        print("closed")

try:
    run_stoppable(work)
except Exception as error:
    sys.exit(describe_failure(error).exit_code)
""")
    heard = signal.SIGINT if number == signal.SIGINT else signal.SIGTERM
    assert (ended.returncode, ended.stdout) == (128 + heard, b"closed\n"), ended.stderr


async def test_a_terminal_that_goes_is_none_of_the_business_of_what_was_told_to_stay() -> None:
    ended = await _run(
        """
async def work():
    os.kill(os.getpid(), signal.SIGHUP)
    await anyio.sleep(0.05)
    return 4

sys.exit(run_stoppable(work))
""",
        ignored=True,
    )
    assert ended.returncode == 4, ended.stderr


@pytest.mark.slow  # until its start is over
async def test_a_command_that_goes_on_after_its_start_collects_garbage() -> None:
    ended = await _run("""
import gc
from agentic import __main__
from agentic.cli import app

async def work():
    assert not gc.isenabled()
    with anyio.fail_after(20):
        while not gc.isenabled():
            await anyio.sleep(0.05)
    assert gc.get_freeze_count() > 10_000
    return 5

app.app = lambda prog_name: sys.exit(run_stoppable(work))
__main__.main()
""")
    assert ended.returncode == 5, ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("size", [1_000_000, 66_000])
async def test_one_signal_ends_what_waits_for_a_reader_that_reads_no_more(size: int) -> None:
    work = f"""
from agentic.cli.invocation import Invocation

async def work(config):
    print("begun", file=sys.stderr, flush=True)
    sys.stdout.write("x" * {size})

sys.exit(Invocation().run(work))
"""
    unread, written = os.pipe()
    with os.fdopen(unread), os.fdopen(written, "w") as pipe:
        argv = [sys.executable, "-c", _HEAD + work]
        async with await anyio.open_process(argv, stdout=pipe) as process:
            assert process.stderr
            with anyio.fail_after(LIMIT_SECONDS):
                await process.stderr.receive()
                await anyio.sleep(0.2)  # to where it is blocked
                process.send_signal(signal.SIGINT)
                assert await process.wait() == 128 + signal.SIGINT


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_flood_of_signals_does_not_cut_the_end_of_a_server_short(
    tmp_path: Path, number: signal.Signals
) -> None:
    command = RealCommand(tmp_path)
    async with command.started("serve", "tools", "--http", "127.0.0.1:0", "--no-auth") as process:
        assert process.stderr
        with anyio.fail_after(LIMIT_SECONDS):
            while b"listens at" not in await process.stderr.receive():
                pass
            while process.returncode is None:
                with suppress(ProcessLookupError):  # it has ended, and anyio will hear of it
                    os.kill(process.pid, number)
                await anyio.sleep(0.001)
        assert process.returncode == 0
