"""The README's first command on a fresh machine: slim container, bare checkout, empty home."""

import re
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
WITHOUT_A_KEY = r"""
set -u
cp -r /checkout /home/newcomer && cd /home/newcomer && export HOME=/home
mkdir -p /home/.cache/agentic && cp -r /weights /home/.cache/agentic/models
pip install --quiet --root-user-action=ignore uv
uv sync --quiet --extra local
talk() { uv run --quiet --extra local agentic chat --conversation c; echo "talked: $?"; }
printf 'Hello! My name is Ada.\nWhat time is it in Tokyo?\n' | talk
printf 'Who am I?\n' | talk
"""
WEIGHTS = Path.home() / ".cache/agentic/models"


def docker(*arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    command = ["docker", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def run_as_newcomer(
    script: str, folder: Path, *options: str, timeout: float
) -> subprocess.CompletedProcess[str]:
    """A shell in a fresh container, with a bare checkout at hand."""
    if shutil.which("docker") is None or docker("image", "inspect", IMAGE).returncode:
        pytest.skip(f"no container engine with the image {IMAGE}")
    checkout = folder / "checkout"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True, timeout=60)
    volume = ("--volume", f"{checkout}:/checkout:ro")
    shell = (*volume, *options, IMAGE, "bash", "-c", script)
    return docker("run", "--rm", "--network", "host", *shell, timeout=timeout)


@pytest.mark.docker
def test_the_first_minute_in_a_fresh_container(tmp_path: Path) -> None:
    ended = run_as_newcomer(FIRST_MINUTE, tmp_path, timeout=300)
    assert "without a model: 2" in ended.stdout, ended.stderr
    assert "ANTHROPIC_API_KEY" in ended.stderr
    assert "asked: 0" in ended.stdout, ended.stderr
    assert "Scripted tour" in ended.stdout
    assert "listed: 0" in ended.stdout
    assert "4 messages  c" in ended.stdout


@pytest.mark.docker
def test_without_a_key_the_embedded_model_remembers_and_knows_the_time(tmp_path: Path) -> None:
    if not (WEIGHTS / "qwen2.5-coder-1.5b.verified.json").exists():
        pytest.skip("the embedded model's weights are not here: `agentic models pull` fetches 1 GB")
    ended = run_as_newcomer(
        WITHOUT_A_KEY, tmp_path, "--volume", f"{WEIGHTS}:/weights:ro", timeout=540
    )
    assert ended.stdout.count("talked: 0") == 2, ended.stderr
    assert re.search(r"\b[0-2]?\d:[0-5]\d", ended.stdout), ended.stdout
    assert "tools__current_time" in ended.stdout + ended.stderr
    assert "Ada" in ended.stdout.rpartition("talked: 0")[0].partition("talked: 0")[2]
