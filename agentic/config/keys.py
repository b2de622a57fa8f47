"""Keys of model providers that the user pasted: one file, for its owner's eyes only."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr, TypeAdapter

from agentic.config.findings import ConfigError
from agentic.config.private_files import read_private, update_private
from agentic.config.rules import check_key

KEY_NAMES = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY")
MAX_KEY_CHARACTERS = 4_096
_FILE_NAME = "keys.json"
_SECRETS = TypeAdapter(dict[str, SecretStr])
_TEXTS = TypeAdapter(dict[str, str])


def load_keys(config_directory: Path) -> Mapping[str, SecretStr]:
    """The saved keys, by the name of the variable that each stands for.

    Raises:
        ConfigError: The file can't be read, or is damaged.
    """
    return read_private(config_directory / _FILE_NAME, _SECRETS)


def save_key(config_directory: Path, name: str, value: str) -> None:
    """Keep a key for the next start. White space around it, which copying leaves, is dropped.

    Raises:
        ConfigError: It can't be a key, or the file can't be written.
    """
    if name not in KEY_NAMES:
        raise ConfigError(f"{name}: is not kept here; {' and '.join(KEY_NAMES)} are")
    try:
        key = check_key(value)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None
    if len(key) > MAX_KEY_CHARACTERS:
        raise ConfigError(f"{name}: should be at most {MAX_KEY_CHARACTERS:,} characters")
    update_private(config_directory / _FILE_NAME, _TEXTS, lambda keys: {**keys, name: key})
