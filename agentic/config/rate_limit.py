"""How often a tool may be called: `10/minute`."""

import re
from dataclasses import dataclass

_SECONDS = {"second": 1, "minute": 60, "hour": 3_600}
_RATE = re.compile(r"(?P<calls>[1-9][0-9]{0,4}) ?/ ?(?P<unit>second|minute|hour)", re.ASCII)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So many calls in so many seconds."""

    calls: int
    seconds: int

    def __str__(self) -> str:
        unit = next(name for name, seconds in _SECONDS.items() if seconds == self.seconds)
        return f"{self.calls} {'call' if self.calls == 1 else 'calls'} per {unit}"


def parse_rate_limit(text: str) -> RateLimit:
    """Read a rate.

    Raises:
        ValueError: It is none.
    """
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            "should be a number of calls per second, minute or hour, such as 10/minute"
        )
    return RateLimit(int(match["calls"]), _SECONDS[match["unit"]])
