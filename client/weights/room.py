"""Whether the machine has room: on the disk for a file, in memory for a model."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from client.weights.catalogue import KNOWN_WEIGHTS, Weights
from client.weights.errors import NoRoomError

_SPARE_DISK_BYTES = 64_000_000
"""Left free for everybody else."""


def _read_free_bytes(directory: Path) -> int:
    return shutil.disk_usage(directory).free


@dataclass(frozen=True, slots=True)
class Room:
    """Reads what is free. `root` is where `proc` and `sys` are."""

    root: Path = Path("/")
    read_free_bytes: Callable[[Path], int] = _read_free_bytes

    def check_disk(self, directory: Path, needed_bytes: int) -> None:
        """Whether `needed_bytes` more fit into an existing directory.

        Raises:
            NoRoomError: They don't; says how much is missing.
        """
        free = self.read_free_bytes(directory)
        needed = needed_bytes + _SPARE_DISK_BYTES
        if free < needed:
            raise NoRoomError(
                f"The disk of {directory} has {to_mb(free)} free, and {to_mb(needed)} are needed: "
                f"free {to_mb(needed - free)}, or name another place as `cache_directory` in "
                "mcp.yml. What came so far is kept."
            )

    def check_memory(self, weights: Weights, known: Mapping[str, Weights] = KNOWN_WEIGHTS) -> None:
        """Whether a process that runs them fits beside what runs now, where that can be known.

        Raises:
            NoRoomError: It doesn't; names what would fit.
        """
        available = self.read_available_memory()
        if available is None or available >= weights.memory_bytes:
            return
        fitting = [other.name for other in known.values() if other.memory_bytes <= available]
        instead = (
            f"take the smaller {fitting[0]}"
            if fitting
            else "use a model of a provider (a key, or a server with Ollama)"
        )
        raise NoRoomError(
            f"{weights.name} takes {to_mb(weights.memory_bytes)} of memory when it runs, and "
            f"{to_mb(available)} are available here: end other programs, or {instead}."
        )

    def read_available_memory(self) -> int | None:
        """Bytes that a new process can have: the machine's, or less where a container is limited.

        None where neither is told, as on macOS.
        """
        readings = (self._read_machine(), self._read_cgroup_2(), self._read_cgroup_1())
        return min((reading for reading in readings if reading is not None), default=None)

    def _read_machine(self) -> int | None:
        kilobytes = _read_fields(self.root / "proc/meminfo").get("MemAvailable:")
        return None if kilobytes is None else kilobytes * 1024

    def _read_cgroup_2(self) -> int | None:
        # What is left below each limit on the way from our group up; in a container it is the root.
        top = self.root / "sys/fs/cgroup"
        own = _read_text(self.root / "proc/self/cgroup").partition("0::/")[2].partition("\n")[0]
        folder = top / own
        left: list[int] = []
        for group in (folder, *folder.parents):
            limit = _read_number(group / "memory.max")
            if limit is not None:
                used = _read_fields(group / "memory.stat").get("anon", 0)
                left.append(max(0, limit - used))
            if group == top:
                break
        return min(left, default=None)

    def _read_cgroup_1(self) -> int | None:
        group = self.root / "sys/fs/cgroup/memory"
        limit = _read_number(group / "memory.limit_in_bytes")
        if limit is None:
            return None
        used = _read_fields(group / "memory.stat").get("total_rss", 0)
        return max(0, limit - used)


def to_mb(size_bytes: int) -> str:
    """For people, as disks are sold: `1,117 MB`."""
    return f"{round(size_bytes / 1_000_000):,} MB"


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _read_number(path: Path) -> int | None:
    text = _read_text(path).strip()
    return int(text) if text.isdecimal() else None  # `max`: there is no limit


def _read_fields(path: Path) -> dict[str, int]:
    """The numbers of a file of lines such as `anon 4096` and `MemAvailable: 512 kB`."""
    fields: dict[str, int] = {}
    for line in _read_text(path).splitlines():
        match line.split():
            case [name, number, *_] if number.isdecimal():
                fields[name] = int(number)
            case _:
                pass
    return fields
