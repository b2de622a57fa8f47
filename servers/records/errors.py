"""How the verbs on records fail.

RecordError
├── InvalidRecordError        a key, value, version or limit that can't be one
├── RecordConflictError       not the expected version
└── RecordsUnavailableError   the store can't work now: away, locked, full, damaged
"""


class RecordError(Exception):
    """A verb failed; the text holds no value of a record."""


class InvalidRecordError(RecordError):
    """A value that cannot be one; `field` names the argument."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field} {message}")
        self.field = field


class RecordConflictError(RecordError):
    """The record is not of the expected version but of `current_version`; 0: there is none."""

    def __init__(self, key: str, current_version: int) -> None:
        found = f"is of version {current_version}" if current_version else "is not there"
        super().__init__(f"the record {key!r} {found}: read it again")
        self.current_version = current_version


class RecordsUnavailableError(RecordError):
    """The store cannot work now; the text says what to do. To repeat the call is safe."""

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
