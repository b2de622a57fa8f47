"""A home and a folder of one's own, and `mcp.yml` as text."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agentic.config.findings import ConfigError
from agentic.config.load import load_config
from agentic.config.models import Config


@dataclass
class Place:
    """A user's home, and the folder where the program is started."""

    home: Path
    cwd: Path
    environ: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def file(self) -> Path:
        return self.cwd / "mcp.yml"

    def load(
        self,
        text: str | None = None,
        environ: Mapping[str, str] | None = None,
        sections: frozenset[str] | None = None,
    ) -> Config:
        if text is not None:
            self.file.write_text(text, encoding="utf-8")
        given = {"HOME": str(self.home), **self.environ, **(environ or {})}
        return load_config(given, cwd=self.cwd, sections=sections)

    def fail(self, text: str | None = None, environ: Mapping[str, str] | None = None) -> str:
        with pytest.raises(ConfigError) as caught:
            self.load(text, environ)
        return str(caught.value)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    home, cwd = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    cwd.mkdir()
    return Place(home, cwd)
