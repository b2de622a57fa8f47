"""What the tools server offers to read: answers that it keeps, and how its tools were used."""

import base64
import logging
import re
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import anyio
from mcp import types
from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPError

from servers.access.contract import SCOPE_DELEGATE, SCOPE_TOOLS_CALL
from servers.access.principal import Callers, ForbiddenError
from servers.faults import report_fault
from servers.records.errors import RecordError
from servers.tools.contract import (
    MAX_RESULT_PART_BYTES,
    RESULT_SCHEME,
    RESULT_SIZE_META_KEY,
    USAGE_OF_ALL_URI,
    USAGE_URI,
    ToolUsage,
    UsageReport,
)
from servers.tools.figures import Figures
from servers.tools.kept_answers import KeptAnswer, KeptAnswers
from servers.tools.usage import KEPT_DAYS, Usage

_MIME_TYPE = "application/json"
_USAGE = re.compile(rf"({USAGE_URI}|{USAGE_OF_ALL_URI})(?:\?since=(\d{{4}}-\d\d-\d\d))?")
_RESULT = re.compile(rf"({RESULT_SCHEME}[\w-]{{32}})(?:\?offset=(\d{{1,9}})&length=(\d{{1,7}}))?")
_DEFAULT_DAYS = 30
_MAX_READ_SECONDS = 20.0
_MAX_ROWS = 1_000
_TEMPLATES = [
    types.ResourceTemplate(
        name="result",
        title="Answer of a tool",
        uri_template=f"{RESULT_SCHEME}{{id}}",
        description="An answer that was too large for a message, or no text, for an hour at most, "
        f"to whom it was given. More than {MAX_RESULT_PART_BYTES // 1024} KiB are read in parts.",
    ),
    types.ResourceTemplate(
        name="result_part",
        title="Part of an answer",
        uri_template=f"{RESULT_SCHEME}{{id}}{{?offset,length}}",
        description=f"At most {MAX_RESULT_PART_BYTES // 1024} KiB from a byte on; "
        f'_meta["{RESULT_SIZE_META_KEY}"] says how many bytes there are.',
    ),
    types.ResourceTemplate(
        name="usage",
        title="Usage of tools",
        uri_template=f"{USAGE_URI}{{?since}}",
        description="How often you called which tool, how that went and how long it took, since a "
        f"day such as 2026-01-31 (UTC; absent: for {_DEFAULT_DAYS} days; at most {KEPT_DAYS}).",
        mime_type=_MIME_TYPE,
    ),
    types.ResourceTemplate(
        name="usage_of_all",
        title="Usage of tools by all",
        uri_template=f"{USAGE_OF_ALL_URI}{{?since}}",
        description=f"The same of every owner, for whoever has the scope {SCOPE_DELEGATE}.",
        mime_type=_MIME_TYPE,
    ),
]

_logger = logging.getLogger(__name__)


class ToolResources:
    """The handlers of `resources/*`."""

    def __init__(self, usage: Usage, kept: KeptAnswers, callers: Callers) -> None:
        self._usage = usage
        self._kept = kept
        self._callers = callers

    async def list_resources(
        self, ctx: ServerRequestContext[Any], _params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        """The usage, which everybody has."""
        with _told_as_mcp_errors("resources/list"):
            self._find_owner(ctx)
        own = types.Resource(
            uri=USAGE_URI, name="usage", title="Usage of tools", mime_type=_MIME_TYPE
        )
        return types.ListResourcesResult(resources=[own])

    async def list_templates(
        self, _ctx: ServerRequestContext[Any], _params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        """What can be read."""
        return types.ListResourceTemplatesResult(resource_templates=_TEMPLATES)

    async def read_resource(
        self, ctx: ServerRequestContext[Any], params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        """What the URI names."""
        with _told_as_mcp_errors("resources/read"):
            if (asked := _USAGE.fullmatch(params.uri)) is None:
                contents = self._read_result(self._find_owner(ctx), params.uri)
                return types.ReadResourceResult(contents=[contents])
            owner = None
            if asked[1] == USAGE_OF_ALL_URI:
                self._callers.of(ctx.request).require(SCOPE_DELEGATE)
            else:
                owner = self._find_owner(ctx)
            report = await self._report(owner, _to_day(asked[2]))
            text = report.model_dump_json()
            told = types.TextResourceContents(uri=params.uri, mime_type=_MIME_TYPE, text=text)
            return types.ReadResourceResult(contents=[told])

    def _find_owner(self, ctx: ServerRequestContext[Any]) -> str:
        principal = self._callers.of(ctx.request)
        principal.require(SCOPE_TOOLS_CALL)
        return principal.acting_owner(ctx.meta)

    def _read_result(
        self, owner: str, uri: str
    ) -> types.TextResourceContents | types.BlobResourceContents:
        asked = _RESULT.fullmatch(uri)
        kept = self._kept.find(owner, asked[1]) if asked else None
        if asked is None or kept is None:
            # unknown, over or another's: all the same
            raise MCPError(types.INVALID_PARAMS, "Resource not found", {"uri": uri})
        if asked[2] is not None:
            return _to_part(kept, uri, int(asked[2]), int(asked[3]))
        if len(kept.data) > MAX_RESULT_PART_BYTES:
            raise MCPError(
                types.INVALID_PARAMS,
                f"the answer has {len(kept.data):,} bytes: read it in parts, with "
                f"?offset=0&length={MAX_RESULT_PART_BYTES} behind its URI and so on",
            )
        if kept.is_text:
            text = kept.data.decode("utf-8")
            return types.TextResourceContents(uri=uri, mime_type=kept.mime_type, text=text)
        return _to_part(kept, uri, 0, MAX_RESULT_PART_BYTES)

    async def _report(self, owner: str | None, since: date) -> UsageReport:
        try:
            with anyio.fail_after(_MAX_READ_SECONDS):
                found = await self._usage.read(since, owner)
        except TimeoutError:
            raise MCPError(
                types.INTERNAL_ERROR,
                f"the figures were not read in {_MAX_READ_SECONDS:.0f} s: ask for fewer days",
            ) from None
        rows = [_to_row(*whose, figures) for whose, figures in found.items()]
        rows.sort(key=lambda row: (-row.calls, row.owner, row.tool))
        return UsageReport(since=since, usage=rows[:_MAX_ROWS], truncated=len(rows) > _MAX_ROWS)


def _to_part(kept: KeptAnswer, uri: str, offset: int, length: int) -> types.BlobResourceContents:
    if not 1 <= length <= MAX_RESULT_PART_BYTES:
        raise MCPError(types.INVALID_PARAMS, f"length is 1 to {MAX_RESULT_PART_BYTES:,}")
    return types.BlobResourceContents(
        uri=uri,
        mime_type=kept.mime_type,
        blob=base64.b64encode(kept.data[offset : offset + length]).decode("ascii"),
        _meta={RESULT_SIZE_META_KEY: len(kept.data)},
    )


def _to_day(text: str | None) -> date:
    """The day from which on is asked; no earlier one than there are figures of."""
    today = datetime.now(UTC).date()
    if text is None:
        return today - timedelta(days=_DEFAULT_DAYS)
    try:
        return max(date.fromisoformat(text), today - timedelta(days=KEPT_DAYS))
    except ValueError:
        raise MCPError(
            types.INVALID_PARAMS, f"since is a day such as 2026-01-31, and {text} is none"
        ) from None


def _to_row(owner: str, tool: str, figures: Figures) -> ToolUsage:
    return ToolUsage(
        owner=owner,
        tool=tool,
        calls=figures.calls,
        errors=dict(sorted(figures.errors.items())),
        bytes_in=figures.bytes_in,
        p50_seconds=figures.quantile(0.5),
        p95_seconds=figures.quantile(0.95),
        p99_seconds=figures.quantile(0.99),
    )


@contextmanager
def _told_as_mcp_errors(what: str) -> Generator[None]:
    try:
        yield
    except MCPError:
        raise
    except ForbiddenError as error:
        data = {"error": {"code": "forbidden", "message": str(error)}}
        raise MCPError(types.INVALID_REQUEST, str(error), data) from None
    except RecordError as error:
        raise MCPError(types.INTERNAL_ERROR, str(error)) from None
    except Exception as error:  # noqa: BLE001 - boundary: the SDK would send any error's text
        reference = report_fault(_logger, what, error)
        message = f"{what} failed unexpectedly; the server's log has the reason under {reference}"
        raise MCPError(types.INTERNAL_ERROR, message) from None
