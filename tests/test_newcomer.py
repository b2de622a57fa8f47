"""The README's first command on a fresh machine: slim container, bare checkout, empty home."""

import shutil
import subprocess
from pathlib import Path

import pytest

IMAGE = "python:3.13-slim"
ROOT = Path(__file__).parent.parent
FIRST_MINUTE = r"""
set -u
cp -r /checkout /home/newcomer && cd /home/newcomer && export HOME=/home
pip install --quiet --root-user-action=ignore uv
uv run --quiet agentic chat </dev/null; echo "without a model: $?"
printf 'models: {t: {provider: scripted}}' >/home/tour.yml
export MCP_CONFIG_PATH=/home/tour.yml
uv run --quiet agentic ask --conversation c "What time is it in Asia/Tokyo?"; echo "asked: $?"
uv run --quiet agentic conversations list; echo "listed: $?"
"""


def docker(*arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    command = ["docker", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.mark.docker
def test_the_first_minute_in_a_fresh_container(tmp_path: Path) -> None:
    if shutil.which("docker") is None or docker("image", "inspect", IMAGE).returncode:
        pytest.skip(f"no container engine with the image {IMAGE}")
    checkout = tmp_path / "checkout"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True, timeout=60)
    volume = f"{checkout}:/checkout:ro"
    ended = docker(
        *("run", "--rm", "--network", "host", "--volume", volume, IMAGE, "bash", "-c"),
        FIRST_MINUTE,
        timeout=300,
    )
    assert "without a model: 2" in ended.stdout, ended.stderr
    assert "ANTHROPIC_API_KEY" in ended.stderr
    assert "asked: 0" in ended.stdout, ended.stderr
    assert "Scripted tour" in ended.stdout
    assert "listed: 0" in ended.stdout
    assert "4 messages  c" in ended.stdout
