"""Where the configuration and our files are.

The places are the same for every program that starts ours, so that the terminal, the bot and a
desktop client meet the same conversations. XDG_* variables have no say: they differ between a shell
and a sandboxed editor.
"""

import os
import pwd
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agentic.config.findings import ConfigError, printable

CONFIG_PATH_VARIABLE = "MCP_CONFIG_PATH"
BY_ITSELF_VARIABLE = "MCP_CONFIG_BY_ITSELF"
"""Set by our programs for what they start: nobody named the file, the program had found it."""
MAX_FILE_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class FoundFile:
    """The file to read. `by_itself`: nobody named it, it lay in the current folder."""

    path: Path
    by_itself: bool = False


def find_home(environ: Mapping[str, str]) -> Path:
    """The user's folder: HOME, else what the system knows.

    Raises:
        ConfigError: There is none.
    """
    home = environ.get("HOME", "")
    if not home.startswith("/"):
        try:
            home = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            home = ""
    if not home.startswith("/"):
        raise ConfigError("HOME: is not set: set it to the folder that holds your files")
    return Path(home)


def find_current_folder() -> Path:
    """The folder the process was started in.

    Raises:
        ConfigError: It was removed meanwhile.
    """
    try:
        return Path.cwd()
    except OSError:
        raise ConfigError("the current folder is gone: change to another") from None


def expand_home(text: str, home: Path) -> Path:
    """`~` and `~/x` as a path below `home`; anything else as it is.

    Raises:
        ValueError: Another user's home (`~ada/x`), or nothing at all.
    """
    if not text:
        raise ValueError("is empty, should be a path")
    if not text.startswith("~"):
        return Path(text)
    if text != "~" and not text.startswith("~/"):
        raise ValueError("~name is not read: write the path in full")
    return home / text[2:]


def config_directory(home: Path) -> Path:
    """Where settings, saved keys and the list of trusted files are kept."""
    return home / ".config" / "agentic"


def find_file(environ: Mapping[str, str], cwd: Path, home: Path) -> FoundFile | None:
    """`MCP_CONFIG_PATH`, else `./mcp.yml`, else `~/.config/agentic/mcp.yml`, else nothing.

    Raises:
        ConfigError: `MCP_CONFIG_PATH` names no file.
    """
    if named := environ.get(CONFIG_PATH_VARIABLE, ""):
        try:
            path = cwd / expand_home(named, home)
            path.stat()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ConfigError(
                f"{CONFIG_PATH_VARIABLE}: {printable(named)}: {reason}: correct it, or unset it"
            ) from None
        return FoundFile(path, by_itself=bool(environ.get(BY_ITSELF_VARIABLE)))
    own = config_directory(home) / "mcp.yml"
    here = cwd / "mcp.yml"
    if os.path.lexists(here):
        return FoundFile(here, by_itself=here != own)
    try:
        own.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        pass  # it may be there: reading it says what is wrong, where defaults would surprise
    return FoundFile(own)


def read_file(path: Path, *, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """The content of a configuration file, or of a document that one names.

    Raises:
        ConfigError: It is no plain file, is too large, or can't be read.
    """
    shown = printable(str(path))
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            hint = "Docker makes a folder where a file to be mounted is missing"
            raise ConfigError(f"{shown}: is a folder, should be a file ({hint})")
        if not stat.S_ISREG(mode):
            raise ConfigError(f"{shown}: is a device or a pipe, should be a file")
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise ConfigError(f"{shown}: can't be read: {error.strerror}") from None
    if len(data) > max_bytes:
        raise ConfigError(f"{shown}: is larger than {max_bytes:,} bytes")
    return data


def decode_text(data: bytes, path: Path) -> str:
    """UTF-8, with or without a byte order mark.

    Raises:
        ConfigError: It is something else; says on which line.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{printable(str(path))}:{line}: is not UTF-8: save the file in that encoding"
        ) from None
