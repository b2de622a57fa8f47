"""A port that is free, and stays so until the test listens at it."""

import errno
import random
import socket

_FIRST, _LAST = 10_000, 30_000
"""Below those that systems hand to outgoing connections, which may be taken at any time."""
_ATTEMPTS = 100


def free_port() -> int:
    for port in random.sample(range(_FIRST, _LAST), _ATTEMPTS):  # tests run side by side
        with socket.socket() as found:
            try:
                found.bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
        return port
    raise RuntimeError(f"{_ATTEMPTS} ports between {_FIRST} and {_LAST} are all taken")
