"""Format, lint and the walls of the house, as part of the one test command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CONTRACTS = [
    "servers.access.contract",
    "servers.conversations.contract",
    "servers.conversations.contract_attachments",
    "servers.conversations.contract_documents",
    "servers.conversations.contract_results",
    "servers.conversations.contract_uris",
    "servers.tools.contract",
]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "command",
    [
        ("-m", "ruff", "format", "--check", "--quiet", "."),
        ("-m", "ruff", "check", "--quiet", "."),
        ("-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"),
    ],
    ids=["format", "lint", "imports"],
)
def test_the_code_keeps_the_rules(command: tuple[str, ...]) -> None:
    result = run(*command)
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_contract_imports_only_pydantic_and_the_standard_library(contract: str) -> None:
    """In a fresh interpreter: an import in a folder's `__init__` escapes the import checker."""
    code = (  # an installed package may import itself into every interpreter, by a .pth file
        "import sys, json; before = set(sys.modules); "
        f"import {contract}; print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    result = run("-c", code)
    assert result.returncode == 0, result.stderr
    loaded = {name.split(".")[0] for name in json.loads(result.stdout)}
    foreign = loaded - set(sys.stdlib_module_names) - {"servers"}
    assert foreign <= {
        "annotated_types",
        "pydantic",
        "pydantic_core",
        "typing_extensions",
        "typing_inspection",
        "__mp_main__",
        "sitecustomize",
        "_virtualenv",
    } | {name for name in foreign if name.startswith(("_", "__editable__"))}


def test_the_packages_init_files_are_empty() -> None:
    for package in ("servers", "client", "bot", "agentic"):
        for path in (ROOT / package).rglob("__init__.py"):
            assert path.read_text(encoding="utf-8") == "", path
