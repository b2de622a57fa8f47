"""The three kinds of entries under `tools:`, told apart by their keys."""

from collections.abc import Mapping
from typing import Literal, cast

from agentic.config.frozen import Frozen
from agentic.config.tool_source import MARK, SourceConfig
from agentic.config.tool_steps import STEPS, StepsConfig
from agentic.config.tools import ToolConfig

Kind = Literal["tools", "sources", "composed"]
"""By the field of `Config` that keeps them."""
MODELS: Mapping[Kind, type[Frozen]] = {
    "tools": ToolConfig,
    "sources": SourceConfig,
    "composed": StepsConfig,
}


def find_kind(entry: object) -> Kind:
    """What an entry is; a plain tool, if nothing tells otherwise."""
    keys = cast("dict[str, object]", entry) if isinstance(entry, dict) else {}
    if MARK in keys:
        return "sources"
    return "composed" if STEPS in keys else "tools"
