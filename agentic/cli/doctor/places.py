"""Where data and secrets are: by the configuration, or by default where that can't be read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agentic.config.locations import config_directory, find_home
from agentic.config.models import Config

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
        settings, stores, secrets = config_directory(home), (data,), [data / "tokens.json"]
    else:
        own = (config.conversations.directory,) if config.conversations.store == "file" else ()
        settings, stores = config.config_directory, (config.data_directory, *own)
        handed_over = (server.token_file for server in config.servers.values())
        named = (config.access.tokens_file, config.access.delegate_token_file, *handed_over)
        secrets = [path for path in named if path is not None]
    return Places(stores, (*(settings / name for name in _SECRET_FILES), *secrets))
