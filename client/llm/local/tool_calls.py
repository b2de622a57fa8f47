"""What the embedded model wrote of a tool's calls becomes calls."""

import json
import secrets

from pydantic import JsonValue

from client.llm.local.call_shape import CallShape
from client.llm.local.zones import settle_zones
from client.llm.protocol import ToolCall, ToolDefinition


def to_calls(
    tool: ToolDefinition, shape: CallShape, written: str, *, is_whole: bool
) -> tuple[ToolCall, ...]:
    """Each of them once; one without arguments that can be used if it is cut off or no sense."""
    try:
        filled_in = shape.read(written) if is_whole else None
    except ValueError:
        filled_in = None
    if filled_in is None:
        return (_to_call(tool, None, written),)
    settled = [settle_zones(arguments, tool.input_schema) for arguments in filled_in]
    calls = {json.dumps(arguments, sort_keys=True): arguments for arguments in settled}
    return tuple(_to_call(tool, arguments, raw) for raw, arguments in calls.items())


def _to_call(tool: ToolDefinition, arguments: dict[str, JsonValue] | None, raw: str) -> ToolCall:
    return ToolCall(f"call_{secrets.token_hex(8)}", tool.name, arguments, raw)
