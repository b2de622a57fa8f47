"""The step that finds out what the user has told about themselves, and what is made of it.

Asked who they are, a small model mixes up "I" and "you", most of all in other languages than
English. It is good at writing down what somebody else said about themselves; with that before its
eyes it answers well.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from client.llm.history import AssistantPiece, Piece, UserPiece, to_text
from client.llm.local.completions import Slot, Step, to_message
from client.llm.local.shortening import cut

_MAX_TOKENS = 200
_MAX_MESSAGES = 12
"""From the beginning, where people introduce themselves, and from the end, as many."""
_MAX_CHARACTERS = 200
_SENTENCE_ENDS = re.compile(r"(?<=[.!?\u2026])\s+|(?<=[\u3002\uff01\uff1f])|\n")
_QUESTION = re.compile(
    r"(?:(?<=[,;\u2013\u2014\uff0c])|^)[^,;\u2013\u2014\uff0c]*[?\uff1f\u061f]\W*$"
)
"""From the last comma on: “I am from Ulm, and you?” tells something."""
_INTRODUCES = re.compile(r"\b(?:I am|I['\u2019]m|my name|call me)\b", re.IGNORECASE)
"""In English: what was said so in other languages was not repeated."""
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"anyOf": [{"type": "string", "maxLength": 60}, {"type": "null"}]},
        "facts": {"type": "array", "items": {"type": "string", "maxLength": 80}, "maxItems": 6},
    },
    "required": ["name", "facts"],
    "additionalProperties": False,
}
_COLLECT = (
    "You collect what a person says about themselves. Write as JSON the person's own name (null "
    "if they did not say it; the names of others do not count) and all else they told about "
    "themselves. What they ask or want done is nothing about them."
)
_EXAMPLES = (
    (
        "- Good evening!\n- What is 2 + 3?\n- Write a story about a dog.",
        '{"name": null, "facts": []}',
    ),
    (
        "- I collect stamps.\n- Which day is it?\n- My son's name is Lu. My car is old.",
        '{"name": null, "facts": ["collects stamps", "has a son called Lu", "has an old car"]}',
    ),
)
"""The names in them lead nowhere: what the user never wrote is not taken."""


@dataclass(frozen=True, slots=True)
class Person:
    """What the user has told about themselves; facts as `lives in Ulm`."""

    name: str | None = None
    facts: Sequence[str] = ()

    def to_note(self) -> str:
        """For the model, before it answers a question about the user."""
        if self.name is None and not self.facts:
            return (
                "About the user you know: nothing yet. Answer the user with “you” and from this "
                "alone. For what is missing here, say “You haven't told me yet.”"
            )
        name = (
            f"The user's name is {self.name}."
            if self.name
            else "The user has not told you their name: asked who they are, you answer “You "
            "haven't told me your name yet.”"
        )
        wanted = "Answer from this just what was asked, and say “you” to the user."
        return f"{name}{self._to_facts()} {wanted}"

    def to_greeting_note(self, introduction: str) -> str | None:
        """For the model, before it answers to the message in which the user says their name.

        Without it every fifth one is repeated as if it were the assistant's own: “I am Ada.”
        """
        if self.name is None or self.name.casefold() not in introduction.casefold():
            return None
        return (
            f"The user's name is {self.name}.{self._to_facts()} Begin with “Hello {self.name}!”, "
            "and say “you” to the user."
        )

    def _to_facts(self) -> str:
        return f" The user {'; '.join(self.facts)}." if self.facts else ""


class _Collected(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str | None
    facts: list[str]


def ask_about_person(said: Sequence[str]) -> Step:
    """What the user told about themselves in what they `said`, as JSON for `parse_person`."""
    messages = [to_message("system", _COLLECT)]
    for told, collected in _EXAMPLES:
        messages += [to_message("user", told), to_message("assistant", collected)]
    listed = "\n".join(f"- {text}" for text in said)
    return Step([*messages, to_message("user", listed)], _MAX_TOKENS, Slot.PERSON, schema=_SCHEMA)


def parse_person(text: str, said: Sequence[str]) -> Person:
    """What was collected, without names that the user never wrote."""
    try:
        collected = _Collected.model_validate_json(text)
    except ValidationError:
        return Person()
    written = "\n".join(said).casefold()
    name = " ".join((collected.name or "").split())
    facts = [fact for fact in collected.facts if _tells_only_what_is_in(written, fact)]
    return Person(name if name and name.casefold() in written else None, facts)


def _tells_only_what_is_in(written: str, fact: str) -> bool:
    """No name and no number is made up, nor worked out from what was asked."""
    words = [word.strip(".,;:!?'\"()") for word in fact.split()]
    checked = [word for word in words[1:] if word[:1].isupper()]
    checked += [word for word in words if any(map(str.isdigit, word))]
    return all(word.casefold() in written for word in checked)


def introduces_user(text: str) -> bool:
    """Whether somebody says there who they are, and asks nothing."""
    return "?" not in text and bool(_INTRODUCES.search(text))


def select_said(pieces: Sequence[Piece]) -> list[str]:
    """What the user wrote that may tell something about them, shortened."""
    texts = [cut(text, _MAX_CHARACTERS) for text in map(_to_told, _to_texts(pieces)) if text]
    if len(texts) > 2 * _MAX_MESSAGES:
        return texts[:_MAX_MESSAGES] + texts[-_MAX_MESSAGES:]
    return texts


def _to_told(text: str) -> str:
    """Without questions: of each a small model makes a fact, that its user asks this."""
    sentences = [_QUESTION.sub("", each.strip()) for each in _SENTENCE_ENDS.split(text)]
    return " ".join(filter(None, sentences))


def _to_texts(pieces: Sequence[Piece]) -> list[str]:
    """The user's messages but for those that asked for a tool."""
    texts: list[str] = []
    for piece in pieces:
        match piece:
            case UserPiece(parts):
                texts.append("\n".join(map(to_text, parts)))
            case AssistantPiece() if piece.calls and texts:
                texts.pop()
            case _:
                pass
    return texts
