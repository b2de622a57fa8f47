"""Where the configuration keeps tokens: in a file, or in the table of conversations."""

import logging
import os.path
import platform
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from anyio import to_thread

from agentic.config.findings import ConfigError, printable
from agentic.config.models import Config
from servers.access.delegate_token import DELEGATE_NAME
from servers.access.token_file import open_token_file
from servers.access.token_store import Tokens
from servers.access.tokens import MAX_NAME_CHARACTERS
from servers.records.errors import RecordsUnavailableError

_log = logging.getLogger(__name__)
_PURPOSE = "access"
_DEFAULT_NAME, _FORMER_NAME = "tokens.sqlite3", "tokens.json"


def find_tokens_file(config: Config) -> Path | None:
    """What `access.tokens_file` names, else its default; None: tokens are in the table."""
    if config.access.tokens_file is None and config.conversations.store == "dynamodb":
        return None
    return config.access.tokens_file or config.data_directory / _DEFAULT_NAME


def name_delegate(config: Config) -> str:
    """What the token that servers make for the bot is called: in a table there is one a machine."""
    if find_tokens_file(config) is not None:
        return DELEGATE_NAME
    return f"{DELEGATE_NAME}@{platform.node()}"[:MAX_NAME_CHARACTERS]


async def tell_of_left_behind(config: Config) -> None:
    """Warn if tokens were made in files before the table held them: they are not accepted."""
    if find_tokens_file(config) is not None:
        return
    for name in (_DEFAULT_NAME, _FORMER_NAME):
        file = config.data_directory / name
        if await to_thread.run_sync(os.path.exists, file):
            _log.warning(
                "The tokens in %s are not accepted, because tokens are in the table now: "
                "`agentic token copy %s` brings them there. Then, or if none is wanted, delete it.",
                *(printable(str(file)),) * 2,
            )
            return


@asynccontextmanager
async def open_tokens(config: Config) -> AsyncGenerator[Tokens]:
    """The tokens.

    Raises:
        ConfigError: They can't be used; the text says why.
    """
    file = find_tokens_file(config)
    if file is not None:
        async with open_token_file(file) as tokens:
            yield tokens
        return
    from servers.host import to_region
    from servers.records.dynamodb_store import open_dynamodb_records

    section = config.conversations
    opening = open_dynamodb_records(
        section.table, to_region(config), section.endpoint_url, _PURPOSE
    )
    async with AsyncExitStack() as stack:
        try:
            store = await stack.enter_async_context(opening)
        except RecordsUnavailableError as error:
            raise ConfigError(f"tokens: {error}") from None
        yield Tokens(store, store.client.units.total)
