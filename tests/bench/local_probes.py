"""What the embedded model is asked, and how its answers are judged."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

_MINUTES = 2
"""So long ago a time may have been told."""
CLOCK = "current_time"
HOME_ZONE = "America/Santiago"
"""That of the machine on which the talks are held."""
AS_USER = (
    r"\bI(?: a|')m (?!Agentic|an? |your |the |glad|happy|here|not|sorry|afraid)\w+|"
    r"\bmy name is (?!Agentic)"
)
"""It takes somebody else's name for its own."""
FAILED = r"sorry|apolog|unable|can't|cannot|couldn't|leider|désolé"


@dataclass(frozen=True, slots=True)
class Probe:
    """What is said, and what a right answer has: regular expressions, whatever their case.

    `tools` are those that must be called, and no others; `zones` those of which it tells the time.
    """

    said: str
    right: Sequence[str] = ()
    wrong: Sequence[str] = ()
    tools: Collection[str] = ()
    zones: Sequence[str] = ()
    arguments: Mapping[str, Any] | None = None

    def find_fault(self, answer: str, calls: Sequence[tuple[str, Mapping[str, Any]]]) -> str | None:
        """Why the answer is wrong, None if it is right. `calls`: names without their servers'."""
        wanted = {CLOCK} if self.zones else {*self.tools}
        if (called := {name for name, _ in calls}) != wanted:
            return f"called {sorted(called) or 'nothing'}"
        if self.arguments and not any(
            self.arguments.items() <= given.items() for _, given in calls
        ):
            return f"called with {[dict(given) for _, given in calls]}"
        if missing := [each for each in self.right if not re.search(each, answer, re.IGNORECASE)]:
            return f"lacks {missing[0]}"
        if there := [each for each in self.wrong if re.search(each, answer, re.IGNORECASE)]:
            return f"has {there[0]}"
        if untold := [zone for zone in self.zones if not _tells_time(answer, zone)]:
            return f"has not the time of {untold[0]}"
        return None


@dataclass(frozen=True, slots=True)
class ProbeTalk:
    """Probes of one conversation. `desk`: the set of tools there is beside the clock, not search.

    `conversation`: that of another talk, which this one goes on with after a restart.
    """

    title: str
    probes: Sequence[Probe]
    desk: str = ""
    conversation: str = ""


def _tells_time(answer: str, zone: str) -> bool:
    now = datetime.now(ZoneInfo(zone))
    for minutes in range(_MINUTES + 1):
        then = now - timedelta(minutes=minutes)
        hours = f"(?:{then.hour}|{then.hour:02}|{then.hour % 12 or 12}|{then.hour % 12 or 12:02})"
        if re.search(rf"(?<!\d){hours}\s*[:hH.]\s*{then.minute:02}", answer):
            return True
    return False
