"""The `mcp.yml` that comes with the project."""

import re
from pathlib import Path

from agentic.config.load import load_config
from agentic.config.models import Config
from tests.agentic.config.conftest import Place

SHIPPED = Path(__file__).parents[3] / "mcp.yml"


def test_it_loads_as_it_is_without_a_warning_a_key_or_trust(place: Place) -> None:
    config = place.load(SHIPPED.read_text())
    assert config.warnings == []
    assert config.risks == ()
    assert config.tools == {}
    defaults = load_config({"HOME": str(place.home)}, cwd=place.home)
    assert config.model_dump() == defaults.model_dump()


def test_its_examples_load_when_they_are_uncommented(place: Place) -> None:
    text = re.sub(r"(?m)^  # ", "  ", SHIPPED.read_text())
    config = place.load(text.replace("  people: {}\n", ""))
    assert config.warnings == []
    assert set(config.servers) == {"conversations", "tools", "files", "github", "notes"}
    assert config.servers["github"].missing_variables == ("GITHUB_TOKEN",)
    assert config.servers["notes"].oauth is not None
    assert config.tools["web_search"].parameters["limit"].default == 5
    assert (config.models.default, set(config.models.by_name)) == (
        "smart",
        {"smart", "ours", "embedded", "aws"},
    )
    assert config.bot.people == {"42": "owner"}


def test_its_other_place_for_conversations_loads_when_it_is_uncommented(place: Place) -> None:
    shipped = SHIPPED.read_text()
    [other] = re.findall(r"(?m)^# conversations:\n(?:#   .*\n)+", shipped)
    files = re.findall(r"(?m)^conversations:\n(?:  .*\n)+", shipped)
    assert len(files) == 1
    config = place.load(
        shipped.replace(files[0], "").replace(
            other, other.replace("# ", "", 1).replace("\n#   ", "\n  ")
        )
    )
    assert config.warnings == []
    section = config.conversations
    assert (section.store, section.table, section.region, section.attachments_bucket) == (
        *("dynamodb", "agentic-conversations", "eu-central-1", "agentic-attachments"),
    )


def test_every_section_is_in_it_but_the_ones_for_experts() -> None:
    sections = set(re.findall(r"(?m)^([a-z_]+):", SHIPPED.read_text()))
    known = {name for name, info in Config.model_fields.items() if not info.exclude}
    assert known - sections == {"data_directory", "cache_directory", "access"}
