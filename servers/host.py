"""The only module that knows every server: opens one, and serves it on stdio or HTTP.

What serving needs is imported when it is done, after logging was set up.
"""

import logging
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from agentic.config.loopback import is_loopback
from agentic.config.models import Config
from servers.access.contract import SCOPE_TOOLS_CALL, SCOPES
from servers.access.principal import Callers, create_operator
from servers.errors import SetupError, StartError
from servers.faults import ContentFreeFormatter

if TYPE_CHECKING:
    from servers.conversations.file_engine import FileEngine
    from servers.conversations.file_expiry import Expiry
    from servers.conversations.file_sealing import Sealing
    from servers.conversations.store import ConversationStore
    from servers.hosted import HostedServer


SERVER_NAMES = ("conversations", "tools")

_MAX_PORT = 65_535


async def serve_stdio(name: str, config: Config, *, delegate: bool) -> None:
    """Serve one client on standard streams.

    With `delegate`, each call says for which owner it acts.

    Raises:
        HostError: It can't be started; the text says why.
    """
    _configure_logging()
    from servers.stdio_transport import serve_on_stdio

    callers = create_operator(config.owner, delegate=delegate)
    async with open_server(name, config, callers) as hosted:
        await serve_on_stdio(hosted.server)


async def serve_http(
    names: Sequence[str], config: Config, *, host: str, port: int, no_auth: bool
) -> None:
    """Serve over streamable HTTP, each at `/NAME/mcp`, until SIGTERM or SIGINT.

    Raises:
        HostError: It can't be started; the text says why.
        ConfigError: The tokens can't be used.
    """
    _check_address(host, port, no_auth=no_auth)
    _configure_logging()
    from servers.access.delegate_token import ensure_delegate_token
    from servers.access.verifier import TokenVerifier
    from servers.http_app import HttpSettings
    from servers.http_callers import TokenCallers
    from servers.http_transport import serve_on_http
    from servers.token_opening import name_delegate, open_tokens, tell_of_left_behind

    access = config.access
    async with AsyncExitStack() as stack:
        verifier, units = None, None
        if not no_auth:
            tokens = await stack.enter_async_context(open_tokens(config))
            if access.delegate_token_file is not None:
                await ensure_delegate_token(
                    access.delegate_token_file, tokens, config.owner, name_delegate(config)
                )
            verifier, units = TokenVerifier(tokens), tokens.units
            await tell_of_left_behind(config)
            await verifier.verify("")  # what can't be used is told now, and not to each caller
        callers = create_operator(config.owner) if verifier is None else TokenCallers(verifier)
        settings = HttpSettings(
            host=host,
            port=port,
            verifier=verifier,
            allowed_hosts=access.allowed_hosts,
            allowed_origins=access.allowed_origins,
            calls_per_minute=access.calls_per_minute,
            token_units=units,
        )
        opened = [
            await stack.enter_async_context(open_server(name, config, callers)) for name in names
        ]
        await serve_on_http(opened, settings)


@asynccontextmanager
async def open_server(
    name: str, config: Config, callers: Callers
) -> AsyncGenerator["HostedServer"]:
    """The server of that name over what it needs.

    Raises:
        HostError: There is none of that name, or what it needs can't be opened.
    """
    match name:
        case "conversations":
            async with _open_conversations(config, callers) as hosted:
                yield hosted
        case "tools":
            from servers.tools_opening import open_tools

            async with open_tools(config, callers) as hosted:
                yield hosted
        case _:
            known = ", ".join(SERVER_NAMES)
            raise SetupError(f"there is no server {name!r}; there are: {known}")


async def check_conversations(config: Config) -> None:
    """Whether the conversation server could keep anything where this configuration says.

    For whoever is about to start it: a person is told at once, and not by a server that ends.

    Raises:
        SetupError: It could not; the text says why and what to do.
    """
    from anyio import to_thread

    if config.conversations.store == "dynamodb":
        async with _open_table(config):
            return

    def check() -> None:
        from servers.conversations.file_directory import open_directory

        with _setup_errors(), open_directory(_prepare_directory(config)):
            pass

    await to_thread.run_sync(check)


@asynccontextmanager
async def open_files(config: Config) -> AsyncGenerator["FileEngine"]:
    """The files of conversations, for whoever looks after them; they may be in use meanwhile.

    Raises:
        SetupError: There are none where this configuration says, or they can't be opened.
    """
    from servers.conversations.file_engine import open_file_engine

    directory = config.conversations.directory
    if config.conversations.store != "file":
        raise SetupError(
            f"conversations.store is {config.conversations.store}: there are no files to look after"
        )
    if not _is_something_at(directory):
        raise SetupError(f"there are no conversations yet: {directory} is not there")
    async with AsyncExitStack() as stack:
        with _setup_errors():
            opening = open_file_engine(directory, expiry=to_expiry(config), any_format=True)
            engine = await stack.enter_async_context(opening)
        yield engine


def _is_something_at(directory: Path) -> bool:
    """Whether it is there, or what keeps it from being found: opening it then says what that is."""
    try:
        directory.stat()
    except FileNotFoundError:
        return any(
            path.is_symlink() and not path.exists() for path in (directory, *directory.parents)
        )
    except OSError:
        pass
    return True


def to_sealing(config: Config) -> "Sealing | None":
    """How the configuration wants older messages compressed."""
    from servers.conversations.file_sealing import Sealing

    after = config.conversations.seal_after_megabytes
    return Sealing(after << 20, config.conversations.compression_level) if after else None


def to_expiry(config: Config) -> "Expiry":
    """When the configuration wants conversations that are left alone to expire."""
    from servers.conversations.file_expiry import Expiry

    return Expiry(config.conversations.expire_idle_days)


def to_region(config: Config) -> str | None:
    """Where the table is; None: where AWS's own rules say, of which botocore lacks AWS_REGION."""
    return config.conversations.region or config.environment.get("AWS_REGION") or None


@asynccontextmanager
async def _open_conversations(config: Config, callers: Callers) -> AsyncGenerator["HostedServer"]:
    from servers.access.people import PURPOSE, open_people
    from servers.conversations.server import create_server
    from servers.hosted import HostedServer
    from servers.record_opening import open_records

    opening = _open_table if config.conversations.store == "dynamodb" else _open_store_of_files
    pairing = open_people(partial(open_records, config, PURPOSE))
    async with opening(config) as opened, pairing as people:
        yield HostedServer(
            name="conversations",
            server=create_server(opened.store, callers, people),
            scopes=frozenset(SCOPES) - {SCOPE_TOOLS_CALL},
            check=opened.check,
            units=opened.units,
        )


class _Opened(NamedTuple):
    """A store, what asks whether it still works, and what it counts of its costs."""

    store: "ConversationStore"
    check: Callable[[], Awaitable[None]]
    units: Mapping[tuple[str, str], float] | None = None


@asynccontextmanager
async def _open_table(config: Config) -> AsyncGenerator[_Opened]:
    from servers.conversations.dynamodb_opening import DynamoDBSettings, open_dynamodb_store

    section = config.conversations
    settings = DynamoDBSettings(
        table=section.table,
        region=to_region(config),
        endpoint_url=section.endpoint_url,
        listing_shards=section.listing_shards,
        idle_days=section.expire_idle_days,
        bucket=section.attachments_bucket,
    )
    async with AsyncExitStack() as stack:
        with _setup_errors():
            store = await stack.enter_async_context(open_dynamodb_store(settings))

        async def check() -> None:
            await store.read_version(config.owner, "readiness")

        yield _Opened(store, check, store.writer.client.units.total)


@asynccontextmanager
async def _open_store_of_files(config: Config) -> AsyncGenerator[_Opened]:
    from anyio import to_thread

    from servers.conversations.file_store import open_file_store

    async with AsyncExitStack() as stack:
        with _setup_errors():
            directory = await to_thread.run_sync(_prepare_directory, config)
            opening = open_file_store(
                directory,
                durability=config.conversations.durability,
                sealing=to_sealing(config),
                expiry=to_expiry(config),
            )
            store = await stack.enter_async_context(opening)
            opened = await to_thread.run_sync(directory.stat)

        async def check() -> None:
            await to_thread.run_sync(_check_place, directory, opened)
            await store.load_conversation(config.owner, "readiness", limit=1)

        yield _Opened(store, check)


def _check_place(directory: Path, opened: os.stat_result) -> None:
    if not os.path.samestat(directory.stat(), opened):
        raise StartError(f"{directory} is no longer the directory that was opened: start again")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise StartError(f"{directory} can't be written")


@contextmanager
def _setup_errors() -> Generator[None]:
    """A store that can't be opened is for the operator to mend."""
    from servers.conversations.store_errors import ConversationError

    try:
        yield
    except ConversationError as error:
        raise SetupError(f"conversations: {error}") from None


def _prepare_directory(config: Config) -> Path:
    """The store's directory. The place for all data is made at the first start, no named one."""
    data, directory = config.data_directory, config.conversations.directory
    if directory.is_relative_to(data):
        try:
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SetupError(
                f"cannot make {data}: {error.strerror} (mend that, or set data_directory)"
            ) from None
    return directory


def _check_address(host: str, port: int, *, no_auth: bool) -> None:
    if no_auth and not is_loopback(host):
        raise SetupError(
            f"--no-auth goes with a loopback address only, and {host} is none: leave it out, and "
            "make a token for each client with `agentic token create`"
        )
    if not 0 <= port <= _MAX_PORT:
        raise SetupError(f"{port} is not a port: give 1 to {_MAX_PORT}, or 0 for any free one")


def _configure_logging() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ContentFreeFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("agentic.access").setLevel(logging.INFO)
