"""The document that the figures of a run are written to."""

import os
import platform
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = (
    "mcp",
    "pydantic",
    "anyio",
    "openai-agents",
    "langgraph-checkpoint-sqlite",
    "langgraph-checkpoint-aws",
    "xllamacpp",
)


_HEAD = """# Performance

Figures as measured. Each table says when and on what, and which command makes it anew; none is to
be compared with another's. Times of what is synced to the disk follow the disk, which may be ten
times slower in one minute than in the next: compare them with the floor of the same table.
"""


def update_document(text: str, parts: Mapping[str, str], commands: Mapping[str, str]) -> str:
    """`text` with these tables in place of those of the same name; new ones come last.

    `parts`: the tables by what they say they are; `commands`: what makes each of them.
    """
    _, *sections = f"\n{text}".split("\n## ")
    kept = {section.partition("\n")[0]: section.strip() for section in sections}
    for title, table in parts.items():
        kept[title] = f"{title}\n\n{_describe_run(commands[title])}\n\n{table}"
    return "\n\n## ".join([_HEAD.strip(), *kept.values()]) + "\n"


def _describe_run(command: str) -> str:
    load = os.getloadavg()[0]
    return (
        f"`{command}` · {datetime.now(UTC):%Y-%m-%d} · {_machine()} · load {load:.1f} at the end · "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {_versions()}"
    )


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
            continue
    return ", ".join(found)
