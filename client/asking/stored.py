"""Questions and answers as annotations of the message that makes the calls they are about.

What a person wrote into a form is never among them: only which fields. What a server asked is kept
to the letter for as long as the call can be gone on with, and in short after that.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

from mcp_types import ElicitRequestParams, ElicitRequestURLParams
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from client.asking.holding import IMPORTED
from client.asking.pages import PageError, parse_page
from client.asking.questions import Action, Answer, CallQuestion
from client.hub.elicitation import Elicitation
from client.hub.plain_text import clean
from servers.conversations.contract import Message, check_facts

_QUESTION = "question:"
_ANSWER = "answer:"
_MAX_OPEN_BYTES = 8_000
"""Half of what the annotations of a message have room for."""
_MAX_SHORT_MESSAGE = 200
_MAX_SHORT_FIELDS = 10
_MAX_SHORT_NAME = 40

_REQUESTS = TypeAdapter[dict[str, ElicitRequestParams]](dict[str, ElicitRequestParams])


class ServerAsked(BaseModel):
    """What a server asked at once during one call."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["server"] = "server"
    number: int
    call_id: str
    tool: str
    fingerprint: str
    expires_at: datetime
    told: list[dict[str, Any]]
    """Of each request: what it says, and which fields or host it is about."""
    requests: dict[str, Any] | None = None
    """To the letter, if the call can be gone on with by another program."""
    state: str | None = None

    def reopen(self) -> Elicitation | None:
        """What was asked, if it can be asked again."""
        if self.requests is None:
            return None
        try:
            requests = _REQUESTS.validate_python(self.requests, by_name=False)
        except ValidationError:
            return None
        return Elicitation(requests, self.state, is_resumable=True)

    def closed(self) -> "ServerAsked":
        """Without what only an open question needs."""
        return self.model_copy(update={"requests": None, "state": None})


class StoredAnswer(BaseModel):
    """What came of a question: of the only one, or of each by the server's keys."""

    model_config = ConfigDict(frozen=True)

    action: Action
    fields: list[str] = Field(default_factory=list[str])
    """The form's that were filled in; what with is not kept."""


Asked = CallQuestion | ServerAsked


def create_server_asked(
    elicitation: Elicitation,
    *,
    number: int,
    call_id: str,
    tool: str,
    fingerprint: str,
    expires_at: datetime,
) -> ServerAsked:
    """The question as it is stored; what is too large for that can't be gone on with later."""
    asked = ServerAsked(
        number=number,
        call_id=call_id,
        tool=tool,
        fingerprint=fingerprint,
        expires_at=expires_at,
        told=[_shorten(request) for request in elicitation.requests.values()],
    )
    if not elicitation.is_resumable:
        return asked
    requests = _REQUESTS.dump_python(
        dict(elicitation.requests), mode="json", by_alias=True, exclude_none=True
    )
    if len(json.dumps([requests, elicitation.state])) > _MAX_OPEN_BYTES:
        return asked
    return asked.model_copy(update={"requests": requests, "state": elicitation.state})


def question_annotations(questions: Iterable[Asked]) -> dict[str, Any]:
    """Questions as annotations of the message that makes the calls."""
    return {
        f"{_QUESTION}{question.number}": question.model_dump(mode="json", exclude_none=True)
        for question in questions
    }


def answer_annotations(question: Asked, answers: Iterable[Answer]) -> dict[str, Any]:
    """What came of a question; the key is its own, so that two writers don't meet."""
    stored = [
        StoredAnswer(action=answer.action, fields=list(answer.values)[:_MAX_SHORT_FIELDS])
        for answer in answers
    ]
    # The least that was agreed to counts for all.
    whole = next((each for each in stored if each.action != "accept"), stored[0])
    fields = [name for each in stored for name in each.fields]
    answer = whole.model_copy(update={"fields": fields})
    told = {f"{_ANSWER}{question.number}": answer.model_dump(mode="json", exclude_defaults=True)}
    if isinstance(question, ServerAsked):
        told |= question_annotations([question.closed()])
    return told


def stored_questions(message: Message) -> dict[str, list[tuple[Asked, StoredAnswer | None]]]:
    """The questions stored with a message, by the call that they are about, in order."""
    annotations = message.annotations or {}
    found: list[tuple[Asked, StoredAnswer | None]] = []
    for key, value in annotations.items():
        if not key.startswith(_QUESTION):
            continue
        stored = annotations.get(f"{_ANSWER}{key.removeprefix(_QUESTION)}")
        try:
            question = _parse(value)
            answer = None if stored is None else StoredAnswer.model_validate(stored)
        except ValidationError:
            continue  # another program's, or damaged: the call then counts as started
        found.append((question, answer))
    by_call: dict[str, list[tuple[Asked, StoredAnswer | None]]] = {}
    for question, answer in sorted(found, key=lambda pair: pair[0].number):
        by_call.setdefault(question.call_id, []).append((question, answer))
    return by_call


def last_question(
    message: Message, call: Mapping[str, Any]
) -> tuple[Asked | None, StoredAnswer | None]:
    """The newest question about a call of the message, and its answer."""
    questions = stored_questions(message).get(call["id"])
    return questions[-1] if questions else (None, None)


def is_open(message: Message, call: Mapping[str, Any]) -> bool:
    """Whether a question about the call has no answer and can be put again."""
    question, answer = last_question(message, call)
    if question is None or answer is not None:
        return False
    return isinstance(question, CallQuestion) or question.reopen() is not None


def mark_imported(message: Message) -> Message:
    """A message out of a file: it can't vouch for itself, nor ask or answer for anybody.

    Annotations don't count when contents are compared, so that importing again adds nothing.
    """
    annotations: dict[str, Any] = {IMPORTED: True}
    for key, value in (message.annotations or {}).items():
        if not key.startswith((_QUESTION, _ANSWER)):
            annotations.setdefault(key, value)
    try:
        check_facts(annotations)
    except ValueError:  # there was no room for the mark, which counts more
        annotations = {IMPORTED: True}
    return message.model_copy(update={"annotations": annotations})


def _parse(value: object) -> Asked:
    match value:
        case {"kind": "server"}:
            return ServerAsked.model_validate(value)
        case _:
            return CallQuestion.model_validate(value)


def _shorten(request: ElicitRequestParams) -> dict[str, Any]:
    message = clean(request.message, _MAX_SHORT_MESSAGE)
    if isinstance(request, ElicitRequestURLParams):
        try:
            return {"message": message, "host": parse_page("", request.url).host[:255]}
        except PageError:
            return {"message": message}
    names = list(request.requested_schema.get("properties", {}))[:_MAX_SHORT_FIELDS]
    return {"message": message, "fields": [clean(str(name), _MAX_SHORT_NAME) for name in names]}
