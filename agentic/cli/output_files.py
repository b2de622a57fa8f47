"""Files that a command writes what it was asked for into: never over another one unasked."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from agentic.cli.failures import UsageError
from agentic.config.private_files import replaced_whole


def check_output(path: Path, *, force: bool) -> None:
    """Check that a file can be made there; `force`: that it may take the place of another one.

    Raises:
        UsageError: It can't, or there is one.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name a file in it.")
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder {path.parent}.")
    if path.exists() and not path.is_file():  # a device, say, which must not become a file
        raise UsageError(f"{path} is no plain file: without it, standard output is written to.")
    if path.exists() and not force:
        raise UsageError(f"{path} is there already: --force overwrites it.")


@contextmanager
def replaced_output(path: Path, *, force: bool) -> Generator[TextIO]:
    """A new file to write, which is there when the body has ended well; a link stays one.

    Raises:
        UsageError: It can't be, or another one has come in the meantime.
        OSError: It can't be made or written.
    """
    with replaced_whole(path.resolve()) as file:
        yield file
        check_output(path, force=force)
