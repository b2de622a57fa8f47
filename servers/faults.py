"""Unexpected failures: a reference for the caller, the same one in the log, without contents."""

import logging
import secrets
import traceback
from types import TracebackType
from typing import cast

_ExceptionInfo = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)


class ContentFreeFormatter(logging.Formatter):
    """Log lines whose exceptions show their types and places only.

    The text of an exception may quote what people wrote (pydantic's echoes its input).
    """

    def formatException(self, ei: _ExceptionInfo) -> str:  # noqa: N802 - logging's name
        """The traceback with the type of the exception, not its text."""
        error = ei[1]
        return "" if error is None else _describe(error)


def report_fault(logger: logging.Logger, what: str, error: BaseException) -> str:
    """Log an unexpected failure of `what`; returns the reference under which it stands there."""
    reference = secrets.token_hex(4)
    logger.error("%s failed unexpectedly, reference %s\n%s", what, reference, _describe(error))
    return reference


def _describe(error: BaseException) -> str:
    lines = traceback.format_tb(error.__traceback__)
    lines.append(type(error).__qualname__)
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        lines.extend(f"\n+ {_describe(each)}" for each in group.exceptions)
    if error.__cause__ is not None:
        lines.append(f"\ncaused by\n{_describe(error.__cause__)}")
    return "".join(lines)
