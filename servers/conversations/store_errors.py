"""How the verbs on conversations fail.

ConversationError
├── InvalidError          a value that can't be one            invalid
│   └── TooLargeError     over a size limit                    too_large
├── NotFoundError         no such conversation, message or attachment   not_found
├── ConflictError         expected_version, or an id with other content   conflict
├── StaleCursorError      a cursor from before a rewrite       stale_cursor
├── UnsupportedError      this back end can't                  unsupported
└── UnavailableError      disk full, read-only, locked out     unavailable
"""

from typing import ClassVar

from servers.conversations.contract_results import ErrorCode


class ConversationError(Exception):
    """A verb failed. The text is for the person who called; `code` is for their program."""

    code: ClassVar[ErrorCode] = "unavailable"

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        current_version: int | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.field = field
        self.current_version = current_version
        self.retry_after_seconds = retry_after_seconds


class InvalidError(ConversationError):
    """A value that cannot be one; `field` names it."""

    code = "invalid"


class TooLargeError(InvalidError):
    """A value over a size limit; `field` names it."""

    code = "too_large"


class NotFoundError(ConversationError):
    """No such conversation, message or attachment for this owner."""

    code = "not_found"


class ConflictError(ConversationError):
    """Not the expected version, or an id stored with other content; see `current_version`."""

    code = "conflict"


class StaleCursorError(ConversationError):
    """The cursor is from before the history was rewritten: start again without it."""

    code = "stale_cursor"


class UnsupportedError(ConversationError):
    """This back end cannot do that."""

    code = "unsupported"


class UnavailableError(ConversationError):
    """The store cannot work now (disk full, read-only, no access); to repeat the call is safe."""

    code = "unavailable"
