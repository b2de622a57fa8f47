"""Whether the path of a running store still leads to the directories that it has open."""

import os
from pathlib import Path

from servers.conversations.store_errors import UnavailableError


class OpenedPlace:
    """A store's directory and the folder of its data, as they were opened.

    What is opened goes on working wherever it is moved to, unlike what is opened by path, such as
    the indexes: these would be shared with the store that stands there now.
    """

    def __init__(self, root: Path, root_fd: int, data_name: str, data_fd: int) -> None:
        path = root.absolute()  # the program may change its working directory
        # A link that leads to the root is followed, none below it: as at a start.
        self._opened = [
            (path, True, _identity(os.fstat(root_fd))),
            (path / data_name, False, _identity(os.fstat(data_fd))),
        ]

    def check(self) -> None:
        """Compare them with what stands there now.

        Raises:
            UnavailableError: It is nothing, or something else.
        """
        for path, follows, identity in self._opened:
            try:
                there = _identity(path.stat(follow_symlinks=follows))
            except (FileNotFoundError, NotADirectoryError):
                there = None
            if there != identity:
                instead = " and something else stands there" if there else ""
                raise UnavailableError(
                    f"the directory {path} was moved or removed under the running program{instead}:"
                    f" put it back, or restart the program, which then uses what stands there"
                )


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
