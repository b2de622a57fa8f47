"""Buttons under messages: what may stand on them, and what pressing one is."""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.fakes.telegram.refusals import bad_request, misused

MAX_CALLBACK_BYTES = 64
MAX_ANSWER_CHARACTERS = 200
_MAX_BUTTONS = 100
_ACTIONS = frozenset(
    {"url", "callback_data", "web_app", "login_url", "switch_inline_query", "copy_text", "pay"}
    | {"switch_inline_query_current_chat", "switch_inline_query_chosen_chat", "callback_game"}
)

Keyboard = Mapping[str, Any]


def check_markup(markup: Keyboard | None, *, inline_only: bool = False) -> dict[str, Any] | None:
    """The inline keyboard that a message will show, if any.

    Raises:
        RefusedError: As the real server refuses it.
    """
    if markup is None:
        return None
    if "inline_keyboard" not in markup:
        if inline_only:
            raise bad_request("inline keyboard expected")
        return None
    buttons = list(buttons_of(markup))
    if len(buttons) > _MAX_BUTTONS:
        raise bad_request("reply markup is too long")
    for button in buttons:
        _check_button(button)
    return dict(markup) if buttons else None


def buttons_of(markup: Keyboard) -> Iterator[Mapping[str, Any]]:
    """All buttons, row by row."""
    for row in markup["inline_keyboard"]:
        yield from row


def _check_button(button: Mapping[str, Any]) -> None:
    if not button["text"].strip():
        raise misused("an inline keyboard button without text")
    actions = _ACTIONS & button.keys()
    if not actions:
        raise bad_request("text buttons are unallowed in the inline keyboard")
    if len(actions) > 1:
        raise misused(f"a button does one thing, not {sorted(actions)}")
    if "callback_data" in button:
        size = len(button["callback_data"].encode("utf-8"))
        if not 1 <= size <= MAX_CALLBACK_BYTES:
            raise bad_request("BUTTON_DATA_INVALID")
    if "url" in button and "://" not in button["url"]:
        raise bad_request(
            f"inline keyboard button URL '{button['url']}' is invalid: Wrong HTTP URL"
        )


class Callbacks:
    """Presses of buttons that wait for `answerCallbackQuery`."""

    def __init__(self) -> None:
        self._open: set[str] = set()
        self.answers: dict[str, dict[str, Any]] = {}
        """What was answered, by the id of the press."""

    def begin(self, callback_id: str) -> None:
        """A button was pressed."""
        self._open.add(callback_id)

    def expire(self) -> None:
        """All presses so far are too old to be answered."""
        self._open.clear()

    def answer(self, parameters: Mapping[str, Any]) -> bool:
        """`answerCallbackQuery`."""
        callback_id = parameters["callback_query_id"]
        if len(parameters.get("text") or "") > MAX_ANSWER_CHARACTERS:
            raise bad_request("MESSAGE_TOO_LONG")
        if callback_id not in self._open:
            raise bad_request(
                "query is too old and response timeout expired or query ID is invalid"
            )
        self._open.discard(callback_id)
        self.answers[callback_id] = dict(parameters)
        return True
