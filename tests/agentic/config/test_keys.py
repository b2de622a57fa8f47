"""Pasted keys."""

import logging
import os
import stat
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import pytest

from agentic.config.findings import ConfigError
from agentic.config.keys import load_keys, save_key
from agentic.config.private_files import read_private_text


def test_a_saved_key_is_there_at_the_next_start_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "new/agentic"
    save_key(folder, "ANTHROPIC_API_KEY", "  sk-one\n")
    save_key(folder, "OPENAI_API_KEY", "sk-two")
    save_key(folder, "ANTHROPIC_API_KEY", "sk-three")
    keys = load_keys(folder)
    assert {name: key.get_secret_value() for name, key in keys.items()} == {
        "ANTHROPIC_API_KEY": "sk-three",
        "OPENAI_API_KEY": "sk-two",
    }
    assert "sk-" not in repr(keys)
    assert [file.name for file in folder.iterdir()] == ["keys.json"]
    assert stat.S_IMODE((folder / "keys.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_open_to_others_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    save_key(tmp_path, "OPENAI_API_KEY", "sk-one")
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_without_a_file_there_are_no_keys(tmp_path: Path) -> None:
    assert load_keys(tmp_path) == {}


@pytest.mark.parametrize(
    "value", ["", " \n", "a b", "a\nb", "a\x00b", "a\x1b[0m", "schlüssel", "x" * 4097]
)
def test_what_cannot_be_a_key_is_refused_and_not_shown(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match=r"^OPENAI_API_KEY: ") as caught:
        save_key(tmp_path, "OPENAI_API_KEY", value)
    assert not value.strip() or value not in str(caught.value)
    assert not (tmp_path / "keys.json").exists()


def test_only_known_names_are_kept(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="AWS_SECRET: is not kept here"):
        save_key(tmp_path, "AWS_SECRET", "x")


def test_a_file_open_to_others_is_closed_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_key(tmp_path, "OPENAI_API_KEY", "sk-one")
    file = tmp_path / "keys.json"
    file.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        load_keys(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "keys.json was open to others" in caplog.text
    assert "sk-one" not in caplog.text


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[1]", b'{"OPENAI_API_KEY": {"sk-one": 1}}', b'"sk-one\xff']
)
def test_a_damaged_file_says_so_and_is_not_overwritten(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(data)
    file.chmod(0o644)
    with pytest.raises(ConfigError, match=r"keys\.json: is damaged: delete it") as caught:
        load_keys(tmp_path)
    assert "sk-one" not in str(caught.value)
    with pytest.raises(ConfigError):
        save_key(tmp_path, "OPENAI_API_KEY", "sk-two")
    assert file.read_bytes() == data
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


@pytest.mark.parametrize("text", ["x", "some words", "", "two\nlines"])
def test_the_mode_of_a_file_that_may_be_somebody_elses_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    file = tmp_path / "pub.txt"
    file.write_text(text)
    file.chmod(0o644)
    for _ in range(2):
        with suppress(ConfigError):
            assert read_private_text(file) == text
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert caplog.text.count("open to others") == (text == "x")


def test_a_file_of_a_token_of_ours_is_closed_to_others(tmp_path: Path) -> None:
    file = tmp_path / "laptop.token"
    file.write_text("agentic_0a1b2c3d_a-token\n")
    file.chmod(0o644)
    assert read_private_text(file) == "agentic_0a1b2c3d_a-token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_secret_is_read_neither_from_a_pipe_nor_from_a_device(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "keys.json")
    endless = tmp_path / "token"
    endless.symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match=r"keys\.json: is a device or a pipe, should be a file"):
        load_keys(tmp_path)
    with pytest.raises(ConfigError, match="token: is a device or a pipe, should be a file"):
        read_private_text(endless)


def test_a_secret_that_is_too_large_for_one_is_not_read_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "token"
    with file.open("wb") as made:
        made.truncate(1 << 40)
    with pytest.raises(ConfigError, match=r"token: is larger than 10,000,000 bytes"):
        read_private_text(file)


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"keys\.json: can't be written: "):
        save_key(tmp_path / "file/agentic", "OPENAI_API_KEY", "x")


def save_some(folder: Path, name: str) -> None:
    for number in range(20):
        save_key(folder, name, f"key-{number}")


def test_two_programs_that_save_at_once_lose_nothing(tmp_path: Path) -> None:
    names = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY")
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(save_some, [tmp_path] * 2, names, timeout=60))
    assert {
        name: key.get_secret_value() for name, key in load_keys(tmp_path).items()
    } == dict.fromkeys(names, "key-19")
