"""How the conversation server's failures are told: as error fields of a tool, as errors of MCP."""

import logging
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST

from servers.access.principal import ForbiddenError
from servers.conversations.contract import SizeError
from servers.conversations.contract_documents import NewerFormatError
from servers.conversations.contract_results import ErrorDetail
from servers.conversations.store_errors import (
    ConversationError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from servers.faults import report_fault

logger = logging.getLogger(__name__)


def explain(error: Exception) -> Mapping[str, object] | None:
    """The error fields of what the store and checks of arguments raise; None for anything else."""
    match error:
        case ConversationError():
            if isinstance(error, UnavailableError):
                logger.error("the store is unavailable: %s", error)
            detail = ErrorDetail(
                code=error.code,
                message=str(error),
                field=error.field,
                current_version=error.current_version,
                retry_after_seconds=error.retry_after_seconds,
            )
        case SizeError():
            detail = ErrorDetail(code="too_large", message=str(error))
        case NewerFormatError():
            detail = ErrorDetail(code="unsupported", message=str(error))
        case _:
            return None
    return detail.model_dump(exclude_none=True)


@contextmanager
def told_as_mcp_errors(what: str) -> Generator[None]:
    """Where there is no error result (resources, prompts, completion): failures as `MCPError`s.

    An unknown conversation is -32602, and says nothing that another owner's would not.
    """
    try:
        yield
    except MCPError:
        raise
    except ForbiddenError as error:
        data = {"error": {"code": "forbidden", "message": str(error)}}
        raise MCPError(INVALID_REQUEST, str(error), data) from None
    except (NotFoundError, InvalidError) as error:
        raise MCPError(INVALID_PARAMS, str(error), {"error": explain(error)}) from None
    except ConversationError as error:
        raise MCPError(INTERNAL_ERROR, str(error), {"error": explain(error)}) from None
    except Exception as error:  # noqa: BLE001 - boundary: the SDK would send any error's text
        reference = report_fault(logger, what, error)
        message = f"{what} failed unexpectedly; the server's log has the reason under {reference}"
        raise MCPError(INTERNAL_ERROR, message) from None
