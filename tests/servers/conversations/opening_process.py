"""A process that opens an embedded store as a user without root's powers: `DIRECTORY`.

It prints why the store refuses.
"""

import ctypes
import os
import sys
from pathlib import Path

import anyio

from servers.conversations.file_store import open_file_store
from servers.conversations.store_errors import UnavailableError

_PR_CAPBSET_DROP = 24
_CAP_DAC_OVERRIDE = 1


async def open_store(directory: Path) -> None:
    try:
        async with open_file_store(directory):
            print("opened")  # noqa: T201 # what the parent reads
    except UnavailableError as error:
        print(error)  # noqa: T201 # what the parent reads


def main() -> None:
    directory, *again = sys.argv[1:]
    if os.geteuid() == 0 and not again:
        # Root may write everywhere, until it begins a program without this power.
        ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, 0, 0, 0)
        os.execv(sys.executable, [sys.executable, "-m", __spec__.name, directory, "again"])
    anyio.run(open_store, Path(directory))


if __name__ == "__main__":
    main()
