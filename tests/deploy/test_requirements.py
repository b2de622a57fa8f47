"""requirements.txt, from which the image is made, and pyproject.toml say the same."""

import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.running_compose import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LINES = (ROOT / "requirements.txt").read_text()
PINS = dict(re.findall(r"(?m)^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", LINES))


def test_what_the_image_installs_is_what_was_tested() -> None:
    constraints = dict(
        line.split("==") for line in PROJECT["tool"]["uv"]["constraint-dependencies"]
    )
    exact = {canonicalize_name(name): version for name, version in constraints.items()}
    assert {name: exact.get(canonicalize_name(name)) for name in PINS} == PINS


def test_every_dependency_is_in_the_image_in_a_version_that_will_do() -> None:
    for line in PROJECT["project"]["dependencies"]:
        needed = Requirement(line)
        assert needed.specifier.contains(PINS[canonicalize_name(needed.name)]), needed


def test_every_pin_has_a_hash_and_no_address_is_named() -> None:
    blocks = re.split(r"(?m)^(?=[A-Za-z])", LINES)[1:]
    assert len(blocks) == len(PINS)
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in LINES
    assert "--index" not in LINES
