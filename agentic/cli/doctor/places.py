"""Where data and secrets are: by the configuration, or by default where that can't be read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agentic.config.locations import config_directory, find_home
from agentic.config.models import Config
from servers.access.token_file import to_former_file, to_records_file
from servers.token_opening import find_tokens_file

_SECRET_FILES = ("keys.json", "trusted.json")


@dataclass(frozen=True, slots=True)
class Places:
    """`data`: where something grows. `secrets`: files for their owner's eyes only."""

    data: tuple[Path, ...]
    secrets: tuple[Path, ...]


def find_places(config: Config | None, environ: Mapping[str, str]) -> Places:
    """The places for this configuration.

    Raises:
        ConfigError: Nobody knows the user's folder.
    """
    if config is None:
        home = find_home(environ)
        data = home / ".local" / "share" / "agentic"
        settings, stores, secrets = (
            config_directory(home),
            (data,),
            _tokens_in(data / "tokens.sqlite3"),
        )
    else:
        own = (config.conversations.directory,) if config.conversations.store == "file" else ()
        settings, stores = config.config_directory, (config.data_directory, *own)
        handed_over = (server.token_file for server in config.servers.values())
        named = (config.access.delegate_token_file, *handed_over)
        tokens = find_tokens_file(config)
        secrets = [path for path in named if path is not None]
        secrets += [] if tokens is None else _tokens_in(tokens)
    return Places(stores, (*(settings / name for name in _SECRET_FILES), *secrets))


def _tokens_in(named: Path) -> list[Path]:
    file = to_records_file(named)
    beside = [file.with_name(file.name + end) for end in ("-wal", "-shm")]
    return [file, *beside, to_former_file(named)]
