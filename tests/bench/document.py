"""The document that the figures of a run are written to."""

import os
import platform
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = (
    "pydantic",
    "anyio",
    "openai-agents",
    "langgraph-checkpoint-sqlite",
    "langgraph-checkpoint-aws",
)


def render_document(parts: Mapping[str, str], command: str) -> str:
    """`parts`: the tables, by what they say they are."""
    load = os.getloadavg()[0]
    head = [
        "# Performance",
        "Figures as measured, all of one run but for units, the same in each; made anew by",
        f"    {command}",
        f"{datetime.now(UTC):%Y-%m-%d} · {_machine()} · load {load:.1f} at the end",
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {_versions()}",
        "Times of what is synced to the disk follow the disk, which may be ten times slower in one "
        "minute than in the next: compare them with the floor of the same table, and with nothing "
        "of another run.",
    ]
    tables = [f"## {title}\n\n{table}" for title, table in parts.items()]
    return "\n\n".join([*head, *tables]) + "\n"


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _versions() -> str:
    found: list[str] = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} not installed")
    return ", ".join(found)
