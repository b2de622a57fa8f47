"""What goes wrong, said once for every command: a message for the person, and the exit code.

0 done, 1 failed, 2 wrong usage or configuration, 130 stopped by Ctrl-C.
"""

from collections.abc import Iterator
from dataclasses import dataclass

FAILED = 1
WRONG_USAGE = 2


class CommandError(Exception):
    """A command can't do what was asked. The text says why and what to do."""

    def __init__(self, message: str, *, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class UsageError(CommandError):
    """What was asked for is wrong or not configured."""

    def __init__(self, message: str) -> None:
        super().__init__(message, exit_code=WRONG_USAGE)


@dataclass(frozen=True, slots=True)
class Failure:
    """How a command ends that could not do its work."""

    message: str
    exit_code: int


def describe_failure(error: BaseException) -> Failure:
    """What to tell the person, whatever was raised."""
    leaves = list(_leaves(error))
    for leaf in leaves:
        known = _describe_known(leaf)
        if known:
            return known
    first = leaves[0]
    return Failure(
        f"Something unexpected went wrong ({type(first).__name__}: {first}). "
        "Run it again as `agentic -v …` to see where.",
        FAILED,
    )


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            yield from _leaves(part)  # pyright: ignore[reportUnknownArgumentType]
    else:
        yield error


def _describe_known(error: BaseException) -> Failure | None:
    # Imported here: most commands that are used wrongly need none of this.
    from agentic.config.findings import ConfigError
    from bot.errors import BotError
    from client.conversations import ConversationCallError
    from client.hub.errors import HubError
    from client.llm.available import NoModelError
    from client.llm.protocol import ModelError
    from client.weights.errors import WeightsError
    from servers.conversations.store_errors import ConversationError
    from servers.errors import HostError, SetupError

    match error:
        case CommandError():
            return Failure(str(error), error.exit_code)
        case ConfigError() | NoModelError() | BotError():
            return Failure(str(error), WRONG_USAGE)
        case HostError():
            return Failure(str(error), WRONG_USAGE if isinstance(error, SetupError) else FAILED)
        case ConversationCallError(code="invalid"):
            return Failure(str(error), WRONG_USAGE)
        case ConversationCallError() | HubError() | ModelError() | WeightsError():
            return Failure(str(error), FAILED)
        case ConversationError():  # of a command that looks after the files itself
            return Failure(str(error), FAILED)
        case BrokenPipeError():
            return Failure("", FAILED)  # who read our output has had enough: nothing to say
        case OSError():
            return Failure(_describe_os_error(error), FAILED)
        case _:
            return None


def _describe_os_error(error: OSError) -> str:
    what = error.strerror or str(error)
    return f"{error.filename}: {what}" if error.filename else what
