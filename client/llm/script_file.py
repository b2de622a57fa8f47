"""A script of replies in YAML for the scripted model.

    - when: what time            # searched in the user's message, a regular expression, in any case
      call: {tool: tools__current_time, arguments: {timezone: UTC}}
      say: "The clock says {result}."
    - say: Hello!                # without `when`: used once, in the order of the file

A reply with `when` answers as often as it matches. A `call` is made first (a list: all at once),
and `say` follows its result, which takes the place of `{result}`.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from client.llm.protocol import BadRequestError, Completion, ModelRequest, ToolCall
from client.llm.scripted import Reply
from servers.conversations.contract import Message


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Call(_Strict):
    tool: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class _Reply(_Strict):
    say: str
    when: re.Pattern[str] | None = None
    call: list[_Call] = Field(default_factory=list[_Call])

    @field_validator("call", mode="before")
    @classmethod
    def _take_one_as_list(cls, call: object) -> object:
        return cast("object", call) if isinstance(call, list) else [call]

    def answers(self, text: str) -> bool:
        return self.when is not None and bool(re.search(self.when.pattern, text, re.IGNORECASE))


_Replies = TypeAdapter(list[_Reply])


def load_script(path: Path) -> Reply:
    """The function of a request that answers as the file says.

    Raises:
        ValueError: The file can't be read, or is no script; says what is wrong and where.
    """
    try:
        replies = _Replies.validate_python(yaml.safe_load(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"the script {path} can't be read: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(
            f"the script {path} is wrong at {where or 'its top'}: {first['msg']}"
        ) from None
    return _Script(path, replies).answer


def split_turn(messages: Sequence[Message]) -> tuple[str, list[str]]:
    """The last user message, and the results of tools since then."""
    results: list[str] = []
    for message in reversed(messages):
        if message.role == "user":
            return message.text(), results[::-1]
        if message.role == "tool":
            results.append(message.text())
    return "", results[::-1]


class _Script:
    def __init__(self, path: Path, replies: Sequence[_Reply]) -> None:
        self._path = path
        self._matching = [reply for reply in replies if reply.when is not None]
        self._in_order = [reply for reply in replies if reply.when is None]

    def answer(self, request: ModelRequest) -> Completion:
        text, results = split_turn(request.messages)
        reply = next((reply for reply in self._matching if reply.answers(text)), None)
        is_in_order = reply is None
        if reply is None:
            if not self._in_order:
                raise BadRequestError(f"The script {self._path} has no reply left for this.")
            reply = self._in_order[0]
        if reply.call and not results:
            position = len(request.messages)
            calls = [
                ToolCall(f"call_{position}_{number}", call.tool, call.arguments)
                for number, call in enumerate(reply.call)
            ]
            return Completion(text="", tool_calls=calls, stop_reason="tool_use")
        if is_in_order:
            self._in_order.pop(0)
        return Completion(text=reply.say.replace("{result}", "\n".join(results)))
