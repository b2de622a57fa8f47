"""Where the configuration keeps the records of servers: in files, or in the table."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from agentic.config.models import Config
from servers.records.store import RecordStore


@asynccontextmanager
async def open_records(config: Config, purpose: str) -> AsyncGenerator[RecordStore]:
    """The records for one purpose. What it imports is not needed until there are some.

    Raises:
        RecordsUnavailableError: They can't be used; the text says why.
    """
    async with AsyncExitStack() as stack:
        if config.conversations.store == "dynamodb":
            from servers.host import to_region
            from servers.records.dynamodb_store import open_dynamodb_records

            section = config.conversations
            opening = open_dynamodb_records(
                section.table, to_region(config), section.endpoint_url, purpose
            )
            yield await stack.enter_async_context(opening)
        else:
            from servers.records.sqlite_store import open_sqlite_records

            file = config.data_directory / f"{purpose}.sqlite3"
            yield await stack.enter_async_context(open_sqlite_records(file))
