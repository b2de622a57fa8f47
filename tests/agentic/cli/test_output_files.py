"""Where a command may write what it was asked for."""

import os
from pathlib import Path

import pytest

from agentic.cli.failures import UsageError
from agentic.cli.output_files import check_output, replaced_output


def write(path: Path, text: str, *, force: bool) -> None:
    check_output(path, force=force)
    with replaced_output(path, force=force) as file:
        file.write(text)


def test_another_file_is_replaced_only_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path, "first", force=False)
    with pytest.raises(UsageError, match="--force overwrites it"):
        write(path, "second", force=False)
    assert path.read_text() == "first"
    write(path, "second", force=True)
    assert path.read_text() == "second"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_comes_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(UsageError, match="there already"), replaced_output(path, force=False):
        path.write_text("of somebody else")
    assert path.read_text() == "of somebody else"


def test_a_device_or_a_pipe_is_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path(os.devnull)):
        for force in (False, True):
            with pytest.raises(UsageError, match="is no plain file"):
                check_output(path, force=force)


def test_a_link_stays_and_its_file_is_written(tmp_path: Path) -> None:
    link, target = tmp_path / "link", tmp_path / "target"
    link.symlink_to(target)
    write(link, "text", force=False)
    assert (link.is_symlink(), target.read_text()) == (True, "text")


def test_a_folder_and_a_missing_one_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        check_output(tmp_path, force=True)
    with pytest.raises(UsageError, match="There is no folder"):
        check_output(tmp_path / "missing" / "file", force=True)
