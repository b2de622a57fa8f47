"""What the machine has left and what is installed: disk, memory, versions."""

import re
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from agentic.cli.doctor.findings import Finding, State

_MB = 1_000_000
_LOW_DISK_BYTES = 500 * _MB
_NO_DISK_BYTES = 50 * _MB
_LOW_MEMORY_BYTES = 300 * _MB
_DISTRIBUTION = "agentic-ai"
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)((?:[<>]=?[0-9.]+,?)*)")
_CLAUSE = re.compile(r"([<>]=?)([0-9.]+)")


def check_disk(*directories: Path) -> list[Finding]:
    """The room where data is kept, once for each file system."""
    findings: dict[int, Finding] = {}
    for directory in directories:
        there = _nearest(directory)
        findings.setdefault(there.stat().st_dev, judge_disk(there, shutil.disk_usage(there).free))
    return list(findings.values())


def judge_disk(place: Path, free_bytes: int) -> Finding:
    """Whether `free_bytes` are enough for conversations, their index and copies."""
    summary = f"{_show(free_bytes)} free at {place}"
    if free_bytes >= _LOW_DISK_BYTES:
        return Finding("disk", "ok", summary)
    state: State = "problem" if free_bytes < _NO_DISK_BYTES else "warning"
    fix = "Make room there, or set data_directory in mcp.yml to another disk."
    return Finding("disk", state, f"only {summary}", fix)


def check_memory() -> list[Finding]:
    """What can still be had, by the system's count and by the limit of a container."""
    available = _read_available(Path("/proc/meminfo"))
    limits = Path("/sys/fs/cgroup")
    left = _read_left(limits / "memory.max", limits / "memory.current")
    known = [each for each in (available, left) if each is not None]
    if not known:
        return [Finding("memory", "ok", "unknown: this system doesn't tell")]
    least = min(known)
    if least >= _LOW_MEMORY_BYTES:
        return [Finding("memory", "ok", f"{_show(least)} available")]
    fix = "End other programs, or give the machine (the container) more."
    return [Finding("memory", "warning", f"only {_show(least)} available", fix)]


def check_versions() -> list[Finding]:
    """Ours, and whether what we stand on is of a version that fits."""
    python = ".".join(str(part) for part in sys.version_info[:3])
    summary = (
        f"agentic {metadata.version(_DISTRIBUTION)}, Python {python}, "
        f"mcp {metadata.version('mcp')}, SQLite {sqlite3.sqlite_version}"
    )
    return [Finding("versions", "ok", summary), *_find_misfits()]


def _find_misfits() -> Iterator[Finding]:
    for text in metadata.requires(_DISTRIBUTION) or ():
        requirement, _, marker = text.partition(";")
        found = _REQUIREMENT.match(requirement.strip())
        if marker or found is None:
            continue
        name, clauses = found[1], found[2]
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            version = "missing"
        if version == "missing" or not satisfies(version, clauses):
            yield Finding(
                "versions",
                "problem",
                f"{name} is {version}, needed is {clauses}",
                f"Install again: `uv sync`, or `pip install '{name}{clauses}'`.",
            )


def satisfies(version: str, clauses: str) -> bool:
    """Whether `version` lies within `clauses`, such as `<3,>=2.3`."""
    number = _to_numbers(version)
    for sign, bound in _CLAUSE.findall(clauses):
        limit = _to_numbers(bound)
        fits = {
            "<": number < limit,
            "<=": number <= limit,
            ">": number > limit,
            ">=": number >= limit,
        }
        if not fits[sign]:
            return False
    return True


def _to_numbers(version: str) -> tuple[int, ...]:
    released = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
    numbers = [int(part) for part in released[0].split(".")] if released else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _nearest(directory: Path) -> Path:
    """The directory, or the one above in which it would be made."""
    return next(each for each in (directory, *directory.parents) if each.exists())


def _read_available(meminfo: Path) -> int | None:
    try:
        found = re.search(r"^MemAvailable:\s+([0-9]+) kB", meminfo.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def _read_left(limit: Path, used: Path) -> int | None:
    try:
        return max(0, int(limit.read_text()) - int(used.read_text()))
    except (OSError, ValueError):  # no container, or one without a limit
        return None


def _show(size_bytes: int) -> str:
    if size_bytes >= 10_000 * _MB:
        return f"{size_bytes / (1000 * _MB):,.0f} GB"
    return f"{size_bytes / _MB:,.0f} MB"
