"""A client's JSON file: our entries put in, all else kept, a copy left, replaced whole or not."""

import json
import os
import re
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite
from pathlib import Path
from typing import NoReturn, cast

from pydantic import JsonValue

from agentic.cli.connect.entries import Entry, is_set_by_us
from agentic.cli.failures import CommandError
from agentic.config.findings import printable
from agentic.config.private_files import replaced_whole

_WAYS = frozenset({"type", "command", "args", "url", "headers"})
"""Keys that say how a server is reached: they are replaced together."""
_MAX_BYTES = 100_000_000
_MAX_SHOWN = 40
_FIRST_INDENT = re.compile(r"^([ \t]+)\S", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Changes:
    """What became of a file."""

    file: Path
    """Where the text lies, links followed."""
    added: list[str]
    changed: list[str]
    kept: int
    """Other entries beside ours."""
    copy: Path | None = None
    made_folder: bool = False


def merge_into_file(
    path: Path, key: str, entries: Mapping[str, Entry], *, may_make_folder: bool, is_secret: bool
) -> Changes:
    """Put `entries` under `key` of the JSON object in `path`; nothing is written if they are there.

    A link is followed, and its target replaced. With `is_secret` the file is closed to others.

    Raises:
        CommandError: The file is no such object, or can't be read or written; it is as it was.
    """
    target = Path(os.path.realpath(path))
    try:
        made_folder = _make_folder(target.parent, may_make=may_make_folder)
        before = _read(target)
        document = _parse(before or b"", target)
        servers = _servers_in(document, key, target)
        merged = {name: _merge(servers.get(name), entry) for name, entry in entries.items()}
        changes = Changes(
            target,
            added=[name for name in merged if name not in servers],
            changed=[name for name in merged if name in servers and merged[name] != servers[name]],
            kept=len(servers.keys() - merged.keys()),
            made_folder=made_folder,
        )
        if not changes.added and not changes.changed:
            if is_secret:
                target.chmod(stat.S_IMODE(target.stat().st_mode) & 0o700)
            return changes
        document[key] = {**servers, **merged}
        text = _render(document, before or b"")
        return _replace(changes, before, text, is_secret=is_secret)
    except OSError as error:
        raise _refusal(target, f"can't be used: {error.strerror or error}") from None


def _make_folder(folder: Path, *, may_make: bool) -> bool:
    if folder.is_dir() or not may_make:
        return False
    folder.mkdir(mode=0o700, parents=True)
    return True


def _read(path: Path) -> bytes | None:
    """The content, None if there is no file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise _refusal(path, "is no plain file")
    if status.st_size > _MAX_BYTES:
        raise _refusal(path, "is too large for a configuration")
    return path.read_bytes()


def _parse(data: bytes, path: Path) -> dict[str, JsonValue]:
    if not data.strip():
        return {}
    try:
        value = json.loads(
            data.decode("utf-8-sig"),
            object_pairs_hook=_to_dict,
            parse_constant=_refuse_constant,
            parse_float=_to_float,
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _refusal(
            path, f"is no plain JSON at {where} (a comment, a comma too many?)"
        ) from None
    except UnicodeDecodeError:
        raise _refusal(path, "is not UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise _refusal(path, f"is no JSON that can be kept whole ({error})") from None
    if not isinstance(value, dict):
        raise _refusal(path, "holds something else than a JSON object")
    return cast("dict[str, JsonValue]", value)


def _to_dict(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key stands there twice")
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _to_float(text: str) -> float:
    value = float(text)
    # An infinity's digits are none, and those of a huge exponent are more than Decimal takes.
    with suppress(ArithmeticError):
        if isfinite(value) and Decimal(text) == Decimal(repr(value)):
            return value
    raise ValueError(f"{text[:_MAX_SHOWN]} is a number that can't be kept as it is")


def _servers_in(document: Mapping[str, JsonValue], key: str, path: Path) -> dict[str, JsonValue]:
    servers = document.get(key, {})
    if not isinstance(servers, dict):
        raise _refusal(path, f"has something else than an object under {key!r}")
    return servers


def _merge(present: JsonValue, entry: Entry) -> Entry:
    """Our entry, with what somebody added to it: variables, switches of the client."""
    if not isinstance(present, dict):
        return entry
    merged: Entry = {
        name: value for name, value in present.items() if name not in _WAYS or name in entry
    }
    merged |= entry
    theirs, ours = present.get("env"), entry.get("env")
    if isinstance(theirs, dict):
        env = {name: value for name, value in theirs.items() if not is_set_by_us(name)}
        merged["env"] = {**env, **(ours if isinstance(ours, dict) else {})}
        if theirs and not merged["env"]:
            del merged["env"]
    return merged


def _render(document: Mapping[str, JsonValue], before: bytes) -> str:
    """JSON, indented as it was."""
    indent = _FIRST_INDENT.search(before.decode("utf-8", "replace"))
    width = indent[1] if indent else "  "
    text = json.dumps(document, ensure_ascii=False, indent=width)
    if not _is_utf8(text):  # half a surrogate pair, which JSON can hold and UTF-8 can't
        text = json.dumps(document, indent=width)
    return text + "\n"


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _replace(changes: Changes, before: bytes | None, text: str, *, is_secret: bool) -> Changes:
    target = changes.file
    copy: Path | None = None
    former = None if before is None else _check_writable(target)
    mode = 0o600 if former is None or is_secret else stat.S_IMODE(former.st_mode)
    with replaced_whole(target, mode=mode) as file:
        file.write(text)
        if _read(target) != before:
            raise _refusal(target, "was changed by another program meanwhile: try again")
        if former is not None:
            os.fchown(file.fileno(), former.st_uid, former.st_gid)
            copy = target.with_name(f"{target.name}.bak-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
            shutil.copy2(target, copy)
            os.chown(copy, former.st_uid, former.st_gid)
            if is_secret:
                copy.chmod(0o600)
    return Changes(target, changes.added, changes.changed, changes.kept, copy, changes.made_folder)


def _check_writable(path: Path) -> os.stat_result:
    # Whoever may write into its folder could replace it, and root could write to it: that it is
    # read-only is somebody's wish.
    found = path.stat()
    if not found.st_mode & 0o222 or not os.access(path, os.W_OK):
        raise _refusal(
            path, "is read-only: make it writable (chmod u+w), or name another by --file"
        )
    return found


def _refusal(path: Path, reason: str) -> CommandError:
    return CommandError(
        f"{printable(str(path))}: {reason}. Nothing was changed; without --write the entry is "
        "printed, to be put in by hand."
    )
