"""Where a store that is measured lies."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_MEMORY_FILES = Path("/dev/shm")


@contextmanager
def temporary_store(*, in_memory: bool = False) -> Generator[Path]:
    """A place for a store, which is removed with it.

    `in_memory`: where only the filling would wait for a disk.
    """
    place = _MEMORY_FILES if in_memory and _MEMORY_FILES.is_dir() else None
    with tempfile.TemporaryDirectory(dir=place) as directory:
        yield Path(directory, "store")
