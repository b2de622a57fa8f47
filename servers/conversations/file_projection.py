"""What the index holds of a conversation: counted up from the records of its file."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from servers.conversations.figures import Figures
from servers.conversations.file_history import History, Place
from servers.conversations.file_records import (
    Annotation,
    Facts,
    Progress,
    Record,
    parse_facts,
    parse_lines,
)
from servers.conversations.file_segment import blocks_forward
from servers.conversations.file_state import ConversationState, read_state


@dataclass(slots=True)
class Projection:
    """The figures, annotations and facts in some records of one file."""

    figures: Figures = field(default_factory=Figures)
    annotations: dict[str, Annotation] = field(default_factory=dict[str, Annotation])
    """By message id."""
    facts: Facts | None = None
    """If they are among the records."""

    @property
    def is_plain(self) -> bool:
        """Whether there are figures only."""
        return self.facts is None and not self.annotations

    def add_all(self, history: History, start: int, end: int) -> None:
        """Count the records that lie there; `start` is the beginning of one."""
        for lines in blocks_forward(history, start, end):
            for record in parse_lines([(0, line) for line in lines]):
                if record is not None:
                    self.add(record)

    def add(self, record: Record) -> None:
        """Count a record."""
        match record.kind:
            case "message":
                self._add_message(record)
            case "annotation":
                annotation = Annotation.model_validate(record.body)
                self.annotations[annotation.message_id] = annotation
            case _:
                self.facts = parse_facts(record) or self.facts

    def _add_message(self, record: Record) -> None:
        body = record.body
        self.figures.add_message(body, record.body_bytes)
        if annotations := body.get("annotations"):
            self.annotations[body["message_id"]] = Annotation(
                message_id=body["message_id"],
                message_seq=record.progress.seq,
                stored_at=record.progress.updated,
                annotations=annotations,
            )


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a file has been read."""

    generation: int
    end: int
    mtime_ns: int
    """Of the active file."""
    base: int = 0
    """Where the active file begins."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the index holds of one conversation."""

    mark: Mark
    alive: bool
    progress: Progress
    facts: Facts
    projection: Projection


def project(records: Iterable[Record]) -> Projection:
    """Count up records."""
    projection = Projection()
    for record in records:
        projection.add(record)
    return projection


def project_file(fd: int, place: Place, bare: Facts | None = None) -> Entry | None:
    """A whole conversation; None if it is empty, or tells no facts and there are no `bare` ones."""
    status = os.fstat(fd)  # first: what changes while it is read must be seen later
    state = read_state(fd, status.st_size, None, place)
    facts = state and (state.facts or bare)
    if state is None or facts is None:
        return None
    history = History(fd, state.layout, place)
    projection = Projection()
    projection.add_all(history, 0, state.end)
    return Entry(mark_of(state, status), not state.deleted, state.progress, facts, projection)


def mark_of(state: ConversationState, status: os.stat_result) -> Mark:
    """How far somebody has read who knows this state, when the active file had this status."""
    return Mark(state.generation, state.end, status.st_mtime_ns, state.layout.base)


def delivery_state(annotations: dict[str, Any]) -> str | None:
    """The state of delivery that annotations tell, if any."""
    delivery: object = annotations.get("delivery")
    if isinstance(delivery, dict):
        delivery = cast("dict[str, object]", delivery).get("state")
    return delivery if isinstance(delivery, str) else None
