"""How long a GGUF file must be, by what its own header says: one that was cut short is noticed.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import math
import struct
from collections.abc import Mapping
from typing import BinaryIO

_MAX_HEAD_BYTES = 33_554_432
"""Names, settings and a vocabulary; those of large models take half of it."""
_VERSIONS = (2, 3)
_ALIGNMENT = b"general.alignment"
_STRING, _ARRAY, _UINT32 = 8, 9, 4
_VALUE_BYTES: Mapping[int, int] = {
    **dict.fromkeys((0, 1, 7), 1),
    **dict.fromkeys((2, 3), 2),
    **dict.fromkeys((_UINT32, 5, 6), 4),
    **dict.fromkeys((10, 11, 12), 8),
}
_BLOCKS: Mapping[int, tuple[int, int]] = {
    0: (1, 4),
    1: (1, 2),
    2: (32, 18),
    3: (32, 20),
    6: (32, 22),
    7: (32, 24),
    8: (32, 34),
    10: (256, 84),
    11: (256, 110),
    12: (256, 144),
    13: (256, 176),
    14: (256, 210),
    30: (1, 2),
}
"""Of the usual tensors: so many numbers in so many bytes. Of others only the begin counts."""


class _UnknownError(Exception):
    """The header holds what is not known here."""


def find_least_size(file: BinaryIO) -> int:
    """The bytes that the file, open at its begin, has if it is whole; 0 if that can't be told."""
    head = file.read(_MAX_HEAD_BYTES)
    try:
        return _read_least_size(head)
    except _UnknownError:
        return 0
    except (struct.error, OverflowError):  # the header has no end, here at least
        return 0 if len(head) == _MAX_HEAD_BYTES else len(head) + 1


def _read_least_size(head: bytes) -> int:
    _, version, tensors, settings = struct.unpack_from("<4sIQQ", head)
    if version not in _VERSIONS:
        raise _UnknownError
    at, alignment = 24, 32
    for _ in range(settings):
        key, at = _read_string(head, at)
        (kind,) = struct.unpack_from("<I", head, at)
        if key == _ALIGNMENT and kind == _UINT32:
            (alignment,) = struct.unpack_from("<I", head, at + 4)
        at = _skip_value(head, at + 4, kind)
    ends = [0]
    for _ in range(tensors):
        _, at = _read_string(head, at)
        end, at = _read_tensor(head, at)
        ends.append(end)
    return at + -at % max(1, alignment) + max(ends) if tensors else at


def _read_tensor(head: bytes, at: int) -> tuple[int, int]:
    """Where its data end, from where all data begin; and where its description does."""
    (dimensions,) = struct.unpack_from("<I", head, at)
    *shape, kind, offset = struct.unpack_from(f"<{dimensions}QIQ", head, at + 4)
    numbers, size = _BLOCKS.get(kind, (1, 0))
    return offset + math.prod(shape) // numbers * size, at + 4 + 8 * dimensions + 12


def _read_string(head: bytes, at: int) -> tuple[bytes, int]:
    (length,) = struct.unpack_from("<Q", head, at)
    return head[at + 8 : at + 8 + length], at + 8 + length


def _skip_value(head: bytes, at: int, kind: int) -> int:
    count = 1
    if kind == _ARRAY:
        kind, count = struct.unpack_from("<IQ", head, at)
        at += 12
    if kind in _VALUE_BYTES:
        return at + count * _VALUE_BYTES[kind]
    if kind != _STRING:
        raise _UnknownError
    for _ in range(count):
        (length,) = struct.unpack_from("<Q", head, at)
        at += 8 + length
    return at
