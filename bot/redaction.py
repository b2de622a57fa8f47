"""Keeps bot tokens out of the logs: PTB and its HTTP client write URLs, which hold the token."""

import logging
import re
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from pydantic import SecretStr

_TOKEN = re.compile(r"\d+:[A-Za-z0-9_-]{30,}")
_MASK = "<bot token>"
_TALKATIVE_LOGGERS = ("httpx", "httpcore")
_PLAIN = logging.Formatter()

logger = logging.getLogger(__name__)


@contextmanager
def tokens_kept_out_of_logs(token: SecretStr) -> Generator[None]:
    """Within the context no log record holds this token, or anything that looks like one.

    Nor does an exception that leaves it: whoever started the bot may show it with its causes.
    Records are cleaned when they are made, so every handler gets them clean, also one that is added
    later or hangs on another logger. What other parts of the program log is cleaned too.
    """
    make_record = logging.getLogRecordFactory()
    secret = token.get_secret_value()

    def scrub(text: str) -> str:
        return _TOKEN.sub(_MASK, text.replace(secret, _MASK) if secret else text)

    def make_clean_record(*args: Any, **kwargs: Any) -> logging.LogRecord:  # noqa: ANN401 - as logging's
        record = make_record(*args, **kwargs)
        _clean(record, scrub)
        return record

    levels = {name: logging.getLogger(name).level for name in _TALKATIVE_LOGGERS}
    for name in levels:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.setLogRecordFactory(make_clean_record)
    try:
        yield
    except Exception as error:
        trace = "".join(traceback.format_exception(error))
        if scrub(trace) == trace:
            raise
        logger.error("The bot ended:\n%s", trace)
        raise RuntimeError(scrub(str(error))) from None
    finally:
        if logging.getLogRecordFactory() is make_clean_record:
            logging.setLogRecordFactory(make_record)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _clean(record: logging.LogRecord, scrub: Callable[[str], str]) -> None:
    try:
        text = record.getMessage()
    except (TypeError, ValueError, KeyError):
        return  # arguments that don't fit the format: logging reports that itself
    if (clean := scrub(text)) != text:
        record.msg, record.args = clean, ()
    if record.exc_info:
        trace = _PLAIN.formatException(record.exc_info)
        if (clean := scrub(trace)) != trace:
            # Handlers that render exceptions themselves must not meet this one.
            record.exc_info, record.exc_text = None, clean
