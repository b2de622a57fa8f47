"""`agentic tools stats`: how often tools were called, how that went, how long it took."""

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

from mcp_types import ReadResourceResult, TextResourceContents
from pydantic import ValidationError
from rich import filesize

from agentic.cli.compose import open_servers, require
from agentic.cli.failures import CommandError, UsageError
from agentic.cli.invocation import Invocation, note
from agentic.cli.terminal_text import one_line, to_json
from agentic.config.children import SECTIONS_OF_TALKERS
from agentic.config.models import Config
from client.hub.errors import ServerFaultError
from client.hub.hub import Hub
from servers.tools.contract import USAGE_OF_ALL_URI, USAGE_URI, ToolUsage, UsageReport

_SERVER = "tools"
_MAX_DAYS = 90
_MAX_NAME_WIDTH = 40


def stats(invocation: Invocation, *, since: str, of_all: bool, as_json: bool) -> int:
    """What the tools server has counted: a line for each tool, or one JSON object."""

    async def work(config: Config) -> None:
        day = _to_day(since)
        if _SERVER not in config.servers:
            raise UsageError("mcp.yml leaves out the server tools, which counts.")
        only_it = config.model_copy(update={"servers": {_SERVER: config.servers[_SERVER]}})
        async with open_servers(only_it, delegate=of_all) as hub:
            await require(hub, _SERVER)
            report = await _read(hub, f"{USAGE_OF_ALL_URI if of_all else USAGE_URI}?since={day}")
        if as_json:
            sys.stdout.write(to_json(report.model_dump(mode="json")) + "\n")
            return
        sys.stdout.writelines(f"{line}\n" for line in _render(report.usage, of_all=of_all))
        if not report.usage:
            note(f"No tool of the tools server was called since {report.since}.")
        if report.truncated:
            note("There are more, which were called less often.")

    return invocation.run(work, sections=SECTIONS_OF_TALKERS, tells_broken_tools=False)


async def _read(hub: Hub, uri: str) -> UsageReport:
    try:
        result = await hub.read_resource(_SERVER, uri)
    except ServerFaultError as error:
        if "delegate" not in str(error):
            raise
        raise UsageError(
            f"{error}. Figures of all owners are for a token with it: `agentic token create stats "
            "--scope tools:call --scope delegate` where the server runs, and name its file as "
            "servers.tools.token_file."
        ) from None
    try:
        return UsageReport.model_validate_json(_text_of(result))
    except ValidationError:
        raise CommandError(
            "The server tools answers as no version of ours does: is servers.tools ours?"
        ) from None


def _text_of(result: ReadResourceResult) -> str:
    texts = (each.text for each in result.contents if isinstance(each, TextResourceContents))
    return next(texts, "")


def _to_day(text: str) -> date:
    """`7d`, or a day."""
    try:
        if text.endswith("d"):
            days = int(text[:-1])
            if not 0 <= days <= _MAX_DAYS:
                raise ValueError
            return datetime.now(UTC).date() - timedelta(days=days)
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"--since is a day such as 2026-01-31, or 0d to {_MAX_DAYS}d, not {one_line(text)}."
        ) from None


def _render(usage: Sequence[ToolUsage], *, of_all: bool) -> Iterator[str]:
    """A head and a line each; nothing if there is nothing."""
    rows = [_render_row(each, of_all=of_all) for each in usage]
    if not rows:
        return
    head = ("owner", "tool") if of_all else ("tool",)
    rows.insert(0, (*head, "calls", "p50", "p95", "p99", "received", "errors"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    names = len(head)
    for row in rows:
        cells = (
            text.ljust(width) if index < names or index == len(row) - 1 else text.rjust(width)
            for index, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()


def _render_row(usage: ToolUsage, *, of_all: bool) -> tuple[str, ...]:
    names = (usage.owner, usage.tool) if of_all else (usage.tool,)
    return (
        *(one_line(name, _MAX_NAME_WIDTH) for name in names),
        f"{usage.calls:,}",
        *map(_render_seconds, (usage.p50_seconds, usage.p95_seconds, usage.p99_seconds)),
        filesize.decimal(usage.bytes_in),
        one_line(", ".join(f"{code} {count:,}" for code, count in usage.errors.items())) or "none",
    )


def _render_seconds(seconds: float) -> str:
    """Two digits that count are what the figures are worth."""
    if seconds < 1:
        return f"{seconds * 1000:.{1 if seconds < 0.01 else 0}f} ms"
    return f"{seconds:.1f} s"
