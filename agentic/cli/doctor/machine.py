"""What the machine is like: its disk, memory, clock and versions, and who may read secrets."""

import re
import shutil
import sqlite3
import stat
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from agentic.cli.doctor.findings import Finding, State
from client.weights.room import Room, to_mb

_MB = 1_000_000
_LOW_DISK_BYTES = 500 * _MB
_NO_DISK_BYTES = 50 * _MB
_LOW_MEMORY_BYTES = 300 * _MB
_TOLERATED_SECONDS = 60.0
_OTHERS = 0o077
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
    available = Room().read_available_memory()
    if available is None:
        return [Finding("memory", "ok", "unknown: this system doesn't tell")]
    if available >= _LOW_MEMORY_BYTES:
        return [Finding("memory", "ok", f"{_show(available)} available")]
    fix = "End other programs, or give the machine (the container) more."
    return [Finding("memory", "warning", f"only {_show(available)} available", fix)]


def check_clock(offsets: Mapping[str, float]) -> Finding:
    """By the seconds by which the clocks of other hosts are ahead of ours."""
    if not offsets:
        return Finding("clock", "ok", "unknown: nobody answered whose clock could be asked")
    host = min(offsets, key=lambda each: abs(offsets[each]))
    seconds = offsets[host]
    if abs(seconds) <= _TOLERATED_SECONDS:
        return Finding("clock", "ok", f"within {_TOLERATED_SECONDS:g} s of that of {host}")
    direction = "behind" if seconds > 0 else "ahead of"
    return Finding(
        "clock",
        "warning",
        f"{abs(seconds):,.0f} s {direction} that of {host}: certificates may be refused, and "
        "messages get wrong times",
        "Let the network set it: `sudo timedatectl set-ntp true` (macOS: System Settings, Date).",
    )


def check_files(*paths: Path) -> list[Finding]:
    """Of those that are there. To be called before they are read, which closes some of them."""
    findings = list(_find_open(paths))
    return findings or [Finding("files", "ok", "what holds secrets is closed to other users")]


def _find_open(paths: tuple[Path, ...]) -> Iterator[Finding]:
    for path in paths:
        try:
            found = path.stat().st_mode
        except FileNotFoundError:
            continue
        except OSError as error:
            yield Finding("files", "problem", f"{path}: {error.strerror}", "Give yourself access.")
            continue
        mode = stat.S_IMODE(found)
        if not stat.S_ISREG(found):
            fix = "Name another one, or move it away."
            yield Finding("files", "problem", f"{path} is no plain file", fix)
        elif mode & _OTHERS:
            summary = f"{path} was open to other users (mode {mode:04o})"
            fix = f"chmod 600 {path}; if others use this machine, replace the secrets in it."
            yield Finding("files", "warning", summary, fix)


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


def _show(size_bytes: int) -> str:
    if size_bytes >= 10_000 * _MB:
        return f"{size_bytes / (1000 * _MB):,.0f} GB"
    return to_mb(size_bytes)
