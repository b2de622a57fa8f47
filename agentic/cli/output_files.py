"""Files that a command writes what it was asked for into: never over another one unasked."""

from pathlib import Path

from agentic.cli.failures import UsageError


def check_output(path: Path, *, force: bool) -> None:
    """Check that a file can be made there; `force`: that it may take the place of another one.

    Raises:
        UsageError: It can't, or there is one.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name a file in it.")
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder {path.parent}.")
    if path.exists() and not force:
        raise UsageError(f"{path} is there already: --force overwrites it.")
