"""How many threads an engine should have: the processor's cores that this process may use."""

import math
import os
from collections.abc import Iterable
from pathlib import Path


def count_cores(root: Path = Path("/")) -> int:
    """Physical cores, or fewer where a container may use less time than they have.

    Two threads of one core share what a model needs of it: the second one only gets in the way.
    `root` is where `proc` and `sys` are.
    """
    allowed = _allowed_processors()
    cores = {_find_core(root, processor) for processor in allowed}
    quota = _read_quota(root)
    return max(1, min(len(cores), len(cores) if quota is None else math.ceil(quota)))


def _allowed_processors() -> Iterable[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return range(os.cpu_count() or 1)  # macOS


def _find_core(root: Path, processor: int) -> str:
    topology = root / f"sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list"
    return _read(topology) or str(processor)


def _read_quota(root: Path) -> float | None:
    """Processors' worth of time that the control group gives, if it is limited."""
    match _read(root / "sys/fs/cgroup/cpu.max").split():
        case [quota, period] if quota.isdecimal() and period.isdecimal() and int(period):
            return int(quota) / int(period)
        case _:
            pass
    quota = _read(root / "sys/fs/cgroup/cpu/cpu.cfs_quota_us")
    period = _read(root / "sys/fs/cgroup/cpu/cpu.cfs_period_us")
    if quota.isdecimal() and period.isdecimal() and int(period):
        return int(quota) / int(period)
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
