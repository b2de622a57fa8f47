"""What servers ask during a call, as questions for a person, and answers as servers want them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import anyio
from mcp_types import ElicitRequestParams, ElicitRequestURLParams, ElicitResult

from client.asking.forms import AnswerError, FormError, Value, parse_form
from client.asking.pages import PageError, parse_page
from client.asking.questions import Answer, Asker, FormQuestion, PageQuestion, Question
from client.hub.elicitation import Elicitation, UnanswerableError

ServerQuestion = FormQuestion | PageQuestion


def create_questions(
    requests: Mapping[str, ElicitRequestParams], *, server: str, tool: str, expires_at: datetime
) -> dict[str, ServerQuestion]:
    """The questions, by the server's keys.

    Raises:
        UnanswerableError: One is none that could be put to anybody.
    """
    try:
        return {
            key: PageQuestion(server, tool, parse_page(request.message, request.url), expires_at)
            if isinstance(request, ElicitRequestURLParams)
            else FormQuestion(
                server, tool, parse_form(request.message, request.requested_schema), expires_at
            )
            for key, request in requests.items()
        }
    except (FormError, PageError) as error:
        raise UnanswerableError(str(error)) from None


async def ask_within(asker: Asker, question: Question, done: anyio.Event | None = None) -> Answer:
    """Ask until there is an answer, the time is over, or the server says that its page is done."""
    left = (question.expires_at - datetime.now(UTC)).total_seconds()
    answer = Answer("expired")

    async def watch(event: anyio.Event) -> None:
        nonlocal answer
        await event.wait()
        answer = Answer("accept")
        asking.cancel()

    with anyio.move_on_after(left) as asking:
        async with anyio.create_task_group() as group:
            if done is not None:
                group.start_soon(watch, done)
            answer = await asker.ask(question)
            group.cancel_scope.cancel()
    return answer


def to_result(question: ServerQuestion, answer: Answer) -> ElicitResult:
    """The answer for its server; without one, that the question was put away.

    Raises:
        AnswerError: The values are none that the form takes.
    """
    match answer.action:
        case "accept":
            values = _complete(question, answer.values)
            return ElicitResult(action="accept", content=None if values is None else {**values})
        case "decline":
            return ElicitResult(action="decline")
        case _:
            return ElicitResult(action="cancel")


def _complete(question: ServerQuestion, values: Mapping[str, Value]) -> dict[str, Value] | None:
    if isinstance(question, FormQuestion):
        return question.form.complete(values)
    if values:
        raise AnswerError("a page takes no values")
    return None


@dataclass(frozen=True, slots=True)
class DirectAnswerer:
    """Puts what a server asks during a call that belongs to no turn to `asker`; nothing is kept."""

    asker: Asker
    server: str
    tool: str
    timeout_seconds: float

    @property
    def whose(self) -> object:
        """Of the one who is asked."""
        return self.asker

    async def answer(self, elicitation: Elicitation) -> dict[str, ElicitResult]:
        """Ask one after the other."""
        expires_at = datetime.now(UTC) + timedelta(seconds=self.timeout_seconds)
        questions = create_questions(
            elicitation.requests, server=self.server, tool=self.tool, expires_at=expires_at
        )
        return {
            key: to_result(
                question, await ask_within(self.asker, question, elicitation.done.get(key))
            )
            for key, question in questions.items()
        }
