"""The calls of tools in a ChatGPT export that wait for a result, and which of them one answers.

A result names no call, only its tool: as the call's recipient did, or the one by its namespace
(`file_search`) where the other has a function of it (`file_search.msearch`).
"""

from typing import NamedTuple


class _Call(NamedTuple):
    call_id: str | None
    recipient: str


class OpenCalls:
    """The oldest first."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []

    def open(self, call_id: str | None, recipient: str) -> None:
        """Await a result; `call_id` is None where the call itself is not taken."""
        self._calls.append(_Call(call_id, recipient))

    def close(self, name: str | None) -> str | None:
        """The id of the call that a tool of this name answered, if there is one."""
        call = self._find(name)
        if call is None:
            return None
        self._calls.remove(call)
        return call.call_id

    def close_all(self) -> None:
        """No result can come any more."""
        self._calls.clear()

    def _find(self, name: str | None) -> _Call | None:
        if not name:
            return self._calls[0] if len(self._calls) == 1 else None
        same = [call for call in self._calls if call.recipient == name]
        alike = [call for call in self._calls if _is_part(call.recipient, name)]
        return next(iter(same + alike), None)


def _is_part(one: str, other: str) -> bool:
    """Whether one of the names is the namespace that the other lies in."""
    return one.partition(".")[0] == other or other.partition(".")[0] == one
