"""How often something may be done, such as calling a tool: `10/minute`."""

import re
from dataclasses import dataclass

_SECONDS = {"second": 1, "minute": 60, "hour": 3_600}
_RATE = re.compile(r"(?P<calls>[1-9][0-9]{0,4}) ?/ ?(?P<unit>second|minute|hour)", re.ASCII)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So often in so many seconds."""

    calls: int
    seconds: int

    def __str__(self) -> str:
        unit = next(name for name, seconds in _SECONDS.items() if seconds == self.seconds)
        return f"{self.calls} {'call' if self.calls == 1 else 'calls'} per {unit}"


def parse_rate_limit(text: str, of: str = "calls") -> RateLimit:
    """Read a rate `of` these.

    Raises:
        ValueError: It is none.
    """
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"should be a number of {of} per second, minute or hour, such as 10/minute"
        )
    return RateLimit(int(match["calls"]), _SECONDS[match["unit"]])
