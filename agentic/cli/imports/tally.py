"""What came of an import, counted: for the summary and for programs."""

from dataclasses import dataclass, field
from typing import Any

_MAX_EXAMPLES = 3
_MAX_PROBLEMS = 20
OTHER_CONTENT = "messages that are stored already with other content"


@dataclass(slots=True)
class Skipped:
    """What was left out for one reason."""

    count: int = 0
    titles: list[str] = field(default_factory=list[str])
    """Of the first conversations it happened in."""


@dataclass(slots=True)
class Tally:
    """The counts so far."""

    conversations: int = 0
    """Found and usable."""
    changed: int = 0
    """Of these: something was added to them."""
    failed: int = 0
    """Of these: the server refused something of them."""
    messages: int = 0
    """Found and usable."""
    appended: int = 0
    repeated: int = 0
    cut: int = 0
    """Messages larger than 512 KiB, stored as several."""
    cleaned: int = 0
    """Strings without the characters that can't be stored."""
    skipped: dict[str, Skipped] = field(default_factory=dict[str, Skipped])
    problems: list[str] = field(default_factory=list[str])
    """Why not all of the file is stored, for the person; the first ones."""
    more_problems: int = 0
    is_broken_off: bool = False
    """There may be more in the file than was read."""

    def skip(self, reason: str, title: str, count: int = 1) -> None:
        """Count what is left out for `reason` (`messages that are empty`)."""
        if count <= 0:
            return
        skipped = self.skipped.setdefault(reason, Skipped())
        skipped.count += count
        if title not in skipped.titles and len(skipped.titles) < _MAX_EXAMPLES:
            skipped.titles.append(title)

    def lose(self, reason: str, title: str, count: int = 1) -> None:
        """Count what is left out though it should have been taken: the command fails at its end."""
        if count > 0:
            self.skip(reason, title, count)
            self.report(f"{title}: left out {reason}.")

    def report(self, problem: str) -> None:
        """Remember why not all is stored."""
        if problem in self.problems:
            return
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(problem)
        else:
            self.more_problems += 1

    def break_off(self, problem: str) -> None:
        """Remember why the file was not read to its end."""
        self.is_broken_off = True
        self.report(problem)

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "conversations": {
                "found": self.conversations,
                "changed": self.changed,
                "failed": self.failed,
            },
            "messages": {
                "found": self.messages,
                "imported": self.appended,
                "repeated": self.repeated,
            },
            "cut_messages": self.cut,
            "cleaned_strings": self.cleaned,
            "skipped": [
                {"reason": reason, "count": skipped.count, "in": skipped.titles}
                for reason, skipped in self.skipped.items()
            ],
            "problems": self.problems,
            "more_problems": self.more_problems,
        }
