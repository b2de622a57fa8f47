"""A weight file of the user's own."""

import stat
from pathlib import Path

from client.weights.errors import DamagedError, WeightsError
from client.weights.gguf_size import find_least_size

_MAGIC = b"GGUF"


def check_own_file(path: Path) -> Path:
    """The file, if it looks like weights that can be loaded.

    Raises:
        WeightsError: There is none, or it can't be read.
        DamagedError: It is something else, or was cut short.
    """
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise DamagedError(f"{path} is no file: `path` should name one GGUF file.")
        with path.open("rb") as file:
            head = file.read(len(_MAGIC))
            file.seek(0)
            least = find_least_size(file) if head == _MAGIC else 0
    except OSError as error:
        raise WeightsError(f"{path} can't be read ({error.strerror}): correct `path`.") from None
    if head != _MAGIC:
        raise DamagedError(
            f"{path} is no GGUF file (it doesn't begin with GGUF): copy or fetch it again."
        )
    if facts.st_size < least:
        raise DamagedError(
            f"{path} was cut short: it has {facts.st_size:,} bytes, and by its header there are at "
            f"least {least:,}. Copy or fetch it again."
        )
    return path
