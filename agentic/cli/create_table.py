"""`agentic conversations create-table`: what was asked for, and what became of it."""

import re
import sys
from collections.abc import Sequence
from datetime import time
from typing import Literal
from zoneinfo import ZoneInfo

from agentic.cli.failures import FAILED, UsageError
from agentic.cli.invocation import Invocation, note
from agentic.config.models import Config
from servers.conversations.dynamodb_capacity import Bounds, Provisioned, Scheduled

_BOUNDS = re.compile(r"([1-9][0-9]{0,6}):([1-9][0-9]{0,6})")
_TAG = re.compile(r"[\w .:/=+\-@]{1,128}")
_MAX_TAG_VALUE = 256
_DEFAULT_UNITS = "5:100"


def create_table(
    invocation: Invocation,
    *,
    table: str | None,
    capacity: Literal["on-demand", "provisioned"],
    read_units: str | None,
    write_units: str | None,
    scheduled: Sequence[str],
    time_zone: str | None,
    tags: Sequence[str],
    limit_seconds: float,
) -> int:
    """Each step on stderr, how it ended on stdout; 1 if the table is another than asked for."""

    async def work(config: Config) -> int:
        from servers.conversations.dynamodb_creation import Wanted, open_apis
        from servers.conversations.dynamodb_creation import create_table as make
        from servers.host import to_region

        if capacity == "provisioned":
            provisioned = Provisioned(
                read=parse_bounds("--read-units", read_units or _DEFAULT_UNITS),
                write=parse_bounds("--write-units", write_units or _DEFAULT_UNITS),
                scheduled=_parse_schedule(scheduled),
                time_zone=_parse_zone(time_zone or "UTC"),
            )
        elif read_units or write_units or scheduled or time_zone:
            raise UsageError(
                "--read-units, --write-units, --scheduled and --time-zone go with "
                "--capacity provisioned: on demand there is nothing to set."
            )
        else:
            provisioned = None
        section = config.conversations
        wanted = Wanted(
            table=section.table if table is None else _check_name(table),
            region=to_region(config),
            endpoint_url=section.endpoint_url,
            capacity=provisioned,
            tags=parse_tags(tags),
        )
        async with open_apis(wanted) as apis:
            outcome = await make(wanted, apis, note, limit_seconds=limit_seconds)
        name = f"The table {wanted.table} in {outcome.region}"
        if outcome.differences:
            note(
                f"Error: {name} is there, and was left as it is, because it is not as asked for: "
                f"{'; '.join(outcome.differences)}. Ask for what is there, change it by hand, or "
                "give another name with --table."
            )
            return FAILED
        if outcome.made:
            sys.stdout.write(f"{name} is made.\n")
        elif outcome.done:
            sys.stdout.write(f"{name} was there already. What it lacked is added.\n")
        else:
            sys.stdout.write(f"{name} is there already, as asked for: nothing was changed.\n")
        _note_next(config, wanted.table)
        return 0

    return invocation.run(work, sections=("conversations",))


def parse_bounds(option: str, text: str) -> Bounds:
    """`5:100` as units.

    Raises:
        UsageError: It is none, or the least is more than the most.
    """
    found = _BOUNDS.fullmatch(text)
    if found is None or int(found[1]) > int(found[2]):
        raise UsageError(f"{option} {text}: should be the least and the most, such as 5:100.")
    return Bounds(int(found[1]), int(found[2]))


def parse_scheduled(text: str) -> Scheduled:
    """`07:00 20:400 10:200`: from when on which units of reads and of writes.

    Raises:
        UsageError: It is not of that form.
    """
    parts = text.split()
    try:
        at, reads, writes = parts
        moment = time.fromisoformat(at)
        if not re.fullmatch(r"\d\d:\d\d", at):
            raise ValueError
    except ValueError:
        raise UsageError(
            f"--scheduled '{text}': should be a time, units of reads and units of writes, such as "
            "'07:00 20:400 10:200'."
        ) from None
    return Scheduled(
        moment.strftime("%H:%M"),
        parse_bounds("--scheduled", reads),
        parse_bounds("--scheduled", writes),
    )


def parse_tags(texts: Sequence[str]) -> dict[str, str]:
    """`KEY=VALUE` each.

    Raises:
        UsageError: One is not, or a key is given twice.
    """
    tags: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not _TAG.fullmatch(key) or len(value) > _MAX_TAG_VALUE:
            raise UsageError(f"--tag {text}: should be KEY=VALUE, such as team=support.")
        if key.lower().startswith("aws:"):
            raise UsageError(f"--tag {text}: names that begin with aws: are AWS's own.")
        if key in tags:
            raise UsageError(f"--tag {key}: is given more than once.")
        tags[key] = value
    return tags


def _parse_schedule(texts: Sequence[str]) -> tuple[Scheduled, ...]:
    schedule = tuple(parse_scheduled(text) for text in texts)
    times = [scheduled.time for scheduled in schedule]
    if len(set(times)) < len(times):
        raise UsageError("--scheduled: a time is given more than once.")
    if len(times) == 1:
        raise UsageError(
            "--scheduled: give it at least twice; what is set at the only time would stay for ever."
        )
    return schedule


def _parse_zone(name: str) -> str:
    try:
        return ZoneInfo(name).key
    except (KeyError, ValueError, OSError):  # as zoneinfo tells that there is none
        raise UsageError(
            f"--time-zone {name}: there is none; it is a name such as Europe/Berlin."
        ) from None


def _check_name(table: str) -> str:
    from agentic.config.models import ConversationsConfig

    try:
        return ConversationsConfig(table=table).table
    except ValueError:
        raise UsageError(
            f"--table {table}: a DynamoDB table's name has 3 to 255 letters, digits, _, - and dots."
        ) from None


def _note_next(config: Config, table: str) -> None:
    section = config.conversations
    if section.store == "dynamodb" and section.table == table:
        return
    name = "" if section.table == table else f", table: {table}"
    note(f"To keep conversations there: conversations: {{store: dynamodb{name}}} in mcp.yml.")
