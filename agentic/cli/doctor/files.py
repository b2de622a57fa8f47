"""Whether files that hold secrets are closed to other users of the machine."""

import stat
from collections.abc import Iterator
from pathlib import Path

from agentic.cli.doctor.findings import Finding

_OTHERS = 0o077


def check_files(*paths: Path) -> list[Finding]:
    """Of those that are there. To be called before they are read, which closes some of them."""
    findings = list(_find_open(paths))
    return findings or [Finding("files", "ok", "what holds secrets is closed to other users")]


def _find_open(paths: tuple[Path, ...]) -> Iterator[Finding]:
    for path in paths:
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except FileNotFoundError:
            continue
        except OSError as error:
            yield Finding("files", "problem", f"{path}: {error.strerror}", "Give yourself access.")
            continue
        if mode & _OTHERS:
            summary = f"{path} was open to other users (mode {mode:04o})"
            fix = f"chmod 600 {path}; if others use this machine, replace the secrets in it."
            yield Finding("files", "warning", summary, fix)
