"""What looking for damage tells of one conversation."""

from dataclasses import dataclass, field

from servers.conversations.file_projection import Projection
from servers.conversations.file_records import Facts


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be."""

    file: str
    """From the store's directory on."""
    line: int | None
    """Of the file, from 1; None: the file as a whole, or a block of a compressed one."""
    what: str
    is_damage: bool = True
    """Whether something stored is lost or wrong; else it is only worth knowing."""


@dataclass(slots=True)
class Examination:
    """What was found in one conversation."""

    key: str
    findings: list[Finding] = field(default_factory=list[Finding])
    damaged_attachments: list[str] = field(default_factory=list[str])
    is_readable: bool = True
    """Whether the system let all of it be read: else there is no telling what is whole."""
    is_continued: bool = False
    """Whether a segment that nothing names holds all that is in the active file, and more."""
    is_deleted: bool = False
    """Whether only its version number is kept."""
    lacks_active: bool = False
    """Whether nothing of it is in the active file, though there are sealed ones."""
    facts: Facts | None = None
    """Of the conversation that its name says, if anything tells them."""
    foreign: Facts | None = None
    """Of another conversation, if the active file holds lines of one."""
    has_own: bool = True
    """Whether, if so, anything is there of the right one, too."""
    foreign_lines: int = 0
    """Of the active file: what is whole of them, beside lines of the right one."""
    projection: Projection = field(default_factory=Projection)
    """What the index should hold of it, if nothing is damaged."""
    generation: int = 0
    end: int = 0
    records: int = 0
    messages: int = 0
    texts: int = 0
    """Messages with text in them."""
    bytes: int = 0
    """On disk."""

    @property
    def is_damaged(self) -> bool:
        """Whether anything is lost or wrong."""
        return self.count_damage() > 0

    def count_damage(self) -> int:
        """How many findings are of damage."""
        return sum(finding.is_damage for finding in self.findings)


def count_messages(count: int) -> str:
    """How many there are, with the verb."""
    return "1 message is" if count == 1 else f"{count:,} messages are"
