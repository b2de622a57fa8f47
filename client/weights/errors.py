"""Why weights can't be had.

WeightsError
├── UnknownWeightsError    no such name in the catalogue            operator: choose another
├── NoRoomError            too little disk or memory                operator: make room
├── BusyError              another program is getting them          user: wait
├── UnreachableError       no source has them                       user: try again, go on
└── DamagedError           the file is not the one it should be     user: get it again

SourceError never leaves this room: one source failed, and the next is tried.
"""


class WeightsError(Exception):
    """Weights can't be had. The text says why and what to do."""


class UnknownWeightsError(WeightsError):
    """The catalogue has nothing by that name."""


class NoRoomError(WeightsError):
    """The disk or the memory does not hold them."""


class BusyError(WeightsError):
    """Another program is getting or removing them."""


class UnreachableError(WeightsError):
    """They can't be fetched from anywhere, or not to their end. What came is kept."""


class DamagedError(WeightsError):
    """A file is not what it should be."""


class SourceError(Exception):
    """A source did not give what it was asked for; the text says why."""
