"""Whether the files of tokens and of paired people can be used, as the servers would use them."""

import os.path
from collections.abc import Awaitable, Callable
from pathlib import Path

from agentic.cli.doctor.findings import Finding
from agentic.config.findings import ConfigError
from agentic.config.models import Config
from servers.access.people import PURPOSE, open_people
from servers.access.token_file import read_token_file, to_former_file, to_records_file
from servers.record_opening import open_records
from servers.records.errors import RecordsUnavailableError
from servers.token_opening import find_tokens_file

_FIX = "Do what it says; until then `agentic serve` and the bot refuse what needs it."


async def check_records(config: Config) -> list[Finding]:
    """Of those that are there: none is made for this, and none is taken over."""
    return [*await _check_tokens(config), *await _check_people(config)]


async def _check_tokens(config: Config) -> list[Finding]:
    named = find_tokens_file(config)
    if named is None or not _is_any_there(to_records_file(named), to_former_file(named)):
        return []
    return await _attempt(lambda: read_token_file(named))


async def _check_people(config: Config) -> list[Finding]:
    file = config.data_directory / f"{PURPOSE}.sqlite3"
    if config.conversations.store == "dynamodb" or not _is_any_there(file):
        return []

    async def read() -> None:
        async with open_people(lambda: open_records(config, PURPOSE)) as people:
            await people.list()

    return await _attempt(read)


def _is_any_there(*files: Path) -> bool:
    return any(map(os.path.lexists, files))


async def _attempt(read: Callable[[], Awaitable[object]]) -> list[Finding]:
    try:
        await read()
    except (ConfigError, RecordsUnavailableError) as error:
        return [Finding("files", "problem", str(error), _FIX)]
    return []
