"""A client's file that `agentic connect` writes into: what can't be kept as it is stays."""

import json
import os
import re
import stat
from pathlib import Path

import pytest

from agentic.cli.connect.client_file import merge_into_file
from agentic.cli.connect.entries import Entry
from agentic.cli.failures import CommandError


def put_in(file: Path, *, is_secret: bool = False) -> None:
    entries: dict[str, Entry] = {"x": {"command": "y"}}
    merge_into_file(file, "mcpServers", entries, may_make_folder=False, is_secret=is_secret)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"mcpServers": {}, // mine\n}', "line 1, column 20"),
        (b'{"mcpServers": {}', "no plain JSON"),
        (b'{"mcpServers": []}', "something else than an object under 'mcpServers'"),
        (b'{"mcpServers": null}', "something else than an object under 'mcpServers'"),
        (b"[]", "something else than a JSON object"),
        (b'{"a": 1, "a": 2}', "a key stands there twice"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": 1e999}', "1e999 is a number that can't be kept as it is"),
        (b'{"a": 1.0000000000000000000000001}', "a number that can't be kept as it is"),
        (b'{"a": 1e-9999999999999999999999}', "a number that can't be kept as it is"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b"[" * 100_000, "no JSON that can be kept whole"),
    ],
)
def test_a_file_that_can_not_be_kept_whole_is_left_alone(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    file = tmp_path / "client.json"
    file.write_bytes(content)
    with pytest.raises(CommandError, match=re.escape(reason)) as refusal:
        put_in(file)
    assert "Nothing was changed" in str(refusal.value)
    assert file.read_bytes() == content
    assert [*tmp_path.iterdir()] == [file]


def test_numbers_are_kept_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "client.json"
    numbers = [0.1, -0.0, 1.5e300, 5e-324, 10.50, 123456789012345678901234567890]
    file.write_text(json.dumps({"a": numbers}), encoding="utf-8")
    put_in(file)
    assert json.loads(file.read_text(encoding="utf-8"))["a"] == numbers


def test_a_read_only_file_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "client.json"
    file.write_text("{}", encoding="utf-8")
    file.chmod(0o444)
    with pytest.raises(CommandError, match=r"client\.json: is read-only: make it writable"):
        put_in(file)
    assert file.read_text(encoding="utf-8") == "{}"
    assert stat.S_IMODE(file.stat().st_mode) == 0o444
    assert [*tmp_path.iterdir()] == [file]


@pytest.mark.skipif(os.geteuid() != 0, reason="root gives files away")
@pytest.mark.parametrize("is_secret", [False, True])
def test_the_file_of_another_user_stays_that_users(tmp_path: Path, is_secret: bool) -> None:
    file = tmp_path / "client.json"
    file.write_text("{}", encoding="utf-8")
    os.chown(file, 65534, 65533)
    put_in(file, is_secret=is_secret)
    owners = {(each.stat().st_uid, each.stat().st_gid) for each in tmp_path.iterdir()}
    assert len([*tmp_path.iterdir()]) == 2
    assert owners == {(65534, 65533)}
