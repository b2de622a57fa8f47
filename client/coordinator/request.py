"""What starts a turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from client.asking.questions import Asker
from client.llm.protocol import ChosenModel


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """One user message to be answered.

    `message_id` is the writer's idempotency key and the turn's id; made when absent. `person` is
    how the user is called, for the instructions. `user_annotations` and `reply_annotations` are
    stored with the user message and with the reply (a bot keeps the state of delivery there).
    `stored` says that the user message was appended before by `Coordinator.accept`. A `resumable`
    turn that is cancelled is left without a reply, to be answered later; any other is closed with
    what was said so far. `asker` puts this turn's questions, in place of the Coordinator's.
    `joined` are the ids of user messages stored before this one that it is answered together with,
    oldest first; each is the only message of its turn. `model` answers in place of the
    Coordinator's.
    """

    conversation_id: str
    prompt: str | list[dict[str, Any]]
    owner: str | None = None
    message_id: str | None = None
    person: str | None = None
    stored: bool = False
    resumable: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    user_annotations: Mapping[str, Any] = field(default_factory=dict[str, Any])
    reply_annotations: Mapping[str, Any] = field(default_factory=dict[str, Any])
    asker: Asker | None = None
    joined: Sequence[str] = ()
    model: ChosenModel | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A user message is stored. `repeated`: it had been before, and this call changed nothing."""

    turn_id: str
    repeated: bool
