"""Puts a turn's questions to the person in the chat: buttons, and texts where there are none."""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, assert_never

import anyio

from bot import wording
from bot.open_questions import ASK_DATA, Heard, OpenQuestions
from bot.post import Post, Sent
from bot.rendering import Button, Part
from client.asking.forms import (
    AnswerError,
    ChoiceField,
    Field,
    ManyField,
    Option,
    Value,
    YesNoField,
)
from client.asking.questions import Answer, CallQuestion, FormQuestion, PageQuestion, Question
from client.hub.plain_text import clean

ValueT = TypeVar("ValueT")

_YES, _NO, _SKIP, _DECLINE = "y", "n", "skip", "no"
_WORDS = {"yes": _YES, "y": _YES, "no": _NO, "n": _NO}
_ARGUMENT_CHARACTERS = 1_000
_QUESTION_CHARACTERS = 3_500
_SHOW_SECONDS = 5.0


class _UnreachableError(Exception):
    """The question did not arrive in the chat."""


class _DeclinedError(Exception):
    """The person wants none of it."""


class ChatAsker:
    """Asks in one chat, during one turn."""

    def __init__(
        self, questions: OpenQuestions, post: Post, chat_id: int, turn: int | None
    ) -> None:
        """`turn`: the Telegram message that is being answered."""
        self._questions = questions
        self._post = post
        self._chat_id = chat_id
        self._turn = turn

    async def ask(self, question: Question) -> Answer:
        """Ask, and wait for the answer; when that is cancelled, the chat is told."""
        try:
            match question:
                case CallQuestion():
                    return await self._ask_for_consent(question)
                case FormQuestion():
                    return await self._ask_form(question)
                case PageQuestion():
                    return await self._ask_page(question)
                case _:
                    assert_never(question)
        except _UnreachableError:
            return Answer("unreachable")
        except _DeclinedError:
            return Answer("decline")

    async def _ask_for_consent(self, question: CallQuestion) -> Answer:
        def read(heard: Heard) -> bool:
            return (heard.choice or _WORDS[heard.text.strip().lower()]) == _YES

        # The same after a restart: then the buttons of the message before answer, too.
        key = f"{self._turn}.{question.number}"
        agreed = await self._hear(
            _render_call(question),
            [[(wording.DO_IT, _YES), (wording.DONT, _NO)]],
            read,
            lambda agreed: wording.AGREED if agreed else wording.DECLINED,
            key=key,
            listens=lambda text: text.strip().lower() in _WORDS,
        )
        return Answer("accept" if agreed else "decline")

    async def _ask_page(self, question: PageQuestion) -> Answer:
        page, server = question.page, clean(question.server, 64)
        text = wording.render_page(
            server, clean(question.tool, 64), page.message, page.host, page.url
        )
        done = await self._hear(
            text if page.is_encrypted else f"{text}\n{wording.NOT_ENCRYPTED}",
            [[(wording.DONE, _YES), (wording.DECLINE, _NO)]],
            lambda heard: heard.choice == _YES,
            lambda done: wording.PAGE_DONE if done else wording.DECLINED,
        )
        return Answer("accept" if done else "decline")

    async def _ask_form(self, question: FormQuestion) -> Answer:
        server, form = clean(question.server, 64), question.form
        values: dict[str, Value] = {}
        head = wording.render_form(server, clean(question.tool, 64), form.message)
        if form.fields:
            outcome = await self._post.send(self._chat_id, Part(head))
            if not isinstance(outcome, Sent):
                raise _UnreachableError
        for field in form.fields:
            value = await self._ask_field(field)
            if value is not None:
                values[field.name] = value
        told = [
            f"{field.title}: {_show(field, value)}"
            for field in form.fields
            if (value := values.get(field.name, field.preset)) is not None
        ]
        agreed = await self._hear(
            wording.render_sending(server, told) if form.fields else head,
            [[(wording.SEND, _YES), (wording.DECLINE, _NO)]],
            lambda heard: heard.choice == _YES,
            lambda agreed: wording.AGREED if agreed else wording.DECLINED,
        )
        return Answer("accept", values) if agreed else Answer("decline")

    async def _ask_field(self, field: Field) -> Value | None:
        """The value; None if it is left out, or its preset."""
        options = _options(field)
        as_buttons = isinstance(field, YesNoField | ChoiceField)

        def read(heard: Heard) -> Value | None:
            match heard.choice:
                case None:
                    return field.parse(heard.text)
                case "skip":
                    return None
                case "no":
                    raise _DeclinedError
                case number:
                    return field.check(_value_of(field, options[int(number)].value))

        rows = [[(option.title, str(i))] for i, option in enumerate(options)] if as_buttons else []
        last = [(wording.DECLINE, _DECLINE)]
        if field.preset is not None:
            last.insert(0, (wording.render_keep(_show(field, field.preset)), _SKIP))
        elif not field.required:
            last.insert(0, (wording.LEAVE_OUT, _SKIP))
        lines = [f"{field.title}: {wording.PRESS if as_buttons else clean(field.hint(), 500)}"]
        lines += [field.description] if field.description else []
        if not as_buttons:
            lines += [f"{number}. {option.title}" for number, option in enumerate(options, 1)]
        return await self._hear(
            "\n".join(lines),
            [*rows, last],
            read,
            lambda value: wording.LEFT if value is None else _show(field, value),
            listens=lambda _: True,
        )

    async def _hear(
        self,
        text: str,
        rows: Sequence[Sequence[tuple[str, str]]],
        read: Callable[[Heard], ValueT],
        show: Callable[[ValueT], str],
        *,
        key: str | None = None,
        listens: Callable[[str], bool] = lambda _: False,
    ) -> ValueT:
        """Show a question with buttons; what is heard and fits. Then the message says that."""
        key = key or secrets.token_urlsafe(9)
        text = text[:_QUESTION_CHARACTERS]
        buttons = tuple(
            tuple(Button(label[:60], f"{ASK_DATA}{key}:{choice}") for label, choice in row)
            for row in rows
        )
        choices = {choice for row in rows for _, choice in row}
        end = wording.NO_LONGER_OPEN
        with self._questions.opened(self._chat_id, key, choices, listens) as answers:
            outcome = await self._post.send(self._chat_id, Part(text, buttons=buttons), self._turn)
            if not isinstance(outcome, Sent):
                raise _UnreachableError
            try:
                while True:
                    heard = await answers.receive()
                    try:
                        value = read(heard)
                    except AnswerError as error:
                        await self._post.say(self._chat_id, f"{clean(str(error), 500)}.")
                        continue
                    except _DeclinedError:
                        end = wording.DECLINED
                        raise
                    end = show(value)
                    return value
            finally:
                with anyio.move_on_after(_SHOW_SECONDS, shield=True):
                    await self._post.change(
                        self._chat_id, outcome.message_id, Part(f"{text}\n\n{end}")
                    )


def _render_call(question: CallQuestion) -> str:
    lines = [wording.render_consent(clean(question.tool, 64), question.reason)]
    for name, value in question.arguments.items():
        shown = clean(json.dumps(value, ensure_ascii=False), 2_000_000)
        left_out = len(shown) - _ARGUMENT_CHARACTERS
        more = f"… and {left_out:,} more characters" if left_out > 0 else ""
        lines.append(f"{clean(name, 64)}: {shown[:_ARGUMENT_CHARACTERS]}{more}")
    return "\n".join(lines)


def _options(field: Field) -> Sequence[Option]:
    match field:
        case YesNoField():
            return (Option("true", wording.YES), Option("false", wording.NO))
        case ChoiceField() | ManyField():
            return field.options
        case _:
            return ()


def _value_of(field: Field, value: str) -> Value:
    return value == "true" if isinstance(field, YesNoField) else value


def _show(field: Field, value: Value) -> str:
    titles: Mapping[str, str] = {option.value: option.title for option in _options(field)}
    match value:
        case bool():
            return wording.YES if value else wording.NO
        case list():
            return ", ".join(titles.get(each, each) for each in value)
        case _:
            return titles.get(str(value), str(value))
