"""What was set aside because it can never be stored: found, and marked when it has been told."""

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from client.spool.folder import ASIDE, Entry, Reason, parse_entry

_TOLD = ".told"
_REASONS: dict[str, Reason] = {reason: reason for reason in get_args(Reason)}


@dataclass(frozen=True, slots=True)
class SetAside:
    """What could not be stored of one turn."""

    key: str
    """Of its conversation, as `key_of` gives it."""
    why: Reason
    entry: Entry | None
    """The first of it; None if that can't be read."""
    paths: tuple[Path, ...]
    is_told: bool = False
    """Something of the same turn was told earlier."""


def reason_of(path: Path) -> Reason | None:
    """Why a file was set aside, by its name; None if that is no name of ours."""
    return _REASONS.get(Path(path.name.removesuffix(_TOLD)).suffix[1:])


def find_untold(directory: Path) -> list[SetAside]:
    """What was set aside in a spool and is not marked, by turns; what can't be read is one each."""
    paths = [path for path in _list(directory / ASIDE) if reason_of(path) is not None]
    if all(path.suffix == _TOLD for path in paths):
        return []
    found: dict[tuple[str, str], SetAside] = {}
    told: set[tuple[str, str]] = set()
    for path in paths:
        key, entry = path.name.partition("-")[0], parse_entry(path)
        turn = (key, entry.turn_id if entry else path.name)
        if path.suffix == _TOLD:
            told.add(turn)
        elif turn in found:
            found[turn] = replace(found[turn], paths=(*found[turn].paths, path))
        elif why := reason_of(path):
            found[turn] = SetAside(key, why, entry, (path,))
    return [replace(each, is_told=turn in told) for turn, each in found.items()]


def mark_told(told: SetAside) -> None:
    """Have it found no more. Somebody may have removed its files.

    Raises:
        OSError: They can't be renamed.
    """
    for path in told.paths:
        with suppress(FileNotFoundError):
            path.rename(path.with_name(path.name + _TOLD))


def _list(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # nothing was set aside, or `survey` tells what is wrong
        return []
