"""The fixture server's tools that answer at once, tell of their progress or call the client."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mcp.server import ServerRequestContext
from mcp.server.subscriptions import PromptsListChanged, SubscriptionBus, ToolsListChanged
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CallToolRequestParams,
    CallToolResult,
    ContentBlock,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    SamplingMessage,
    TextContent,
)

from tests.conformance.fixture_content import AUDIO, IMAGE, embed

Call = Callable[[ServerRequestContext[Any], CallToolRequestParams], Awaitable[CallToolResult]]

_OPTIONS = ["option1", "option2", "option3"]
_TITLED = [{"const": f"value{number}", "title": f"Choice {number}"} for number in (1, 2, 3)]
_DEFAULTS = {
    "name": {"type": "string", "default": "John Doe"},
    "age": {"type": "integer", "default": 30},
    "score": {"type": "number", "default": 95.5},
    "status": {
        "type": "string",
        "enum": ["active", "inactive", "pending"],
        "default": "active",
    },
    "verified": {"type": "boolean", "default": True},
}
_ENUMS = {
    "untitledSingle": {"type": "string", "enum": _OPTIONS},
    "titledSingle": {"type": "string", "oneOf": _TITLED},
    "legacyEnum": {"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["One", "Two"]},
    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": _OPTIONS}},
    "titledMulti": {"type": "array", "items": {"anyOf": _TITLED}},
}
_PERSON = {"username": {"type": "string"}, "email": {"type": "string"}}


def _show(*content: ContentBlock) -> Call:
    async def show(ctx: ServerRequestContext[Any], params: CallToolRequestParams) -> CallToolResult:
        return CallToolResult(content=list(content))

    return show


async def _tell_progress(
    ctx: ServerRequestContext[Any], params: CallToolRequestParams
) -> CallToolResult:
    for progress in (0, 50, 100):
        await ctx.session.report_progress(progress, 100)
    return CallToolResult(content=[TextContent(text="told")])


async def _log(ctx: ServerRequestContext[Any], params: CallToolRequestParams) -> CallToolResult:
    for text in ("begins", "goes on", "ends"):
        # Deprecated with the era that the scenario is about.
        await ctx.session.send_log_message(  # pyright: ignore[reportDeprecated]
            "info", text, related_request_id=ctx.request_id
        )
    return CallToolResult(content=[TextContent(text="logged")])


async def _sample(ctx: ServerRequestContext[Any], params: CallToolRequestParams) -> CallToolResult:
    prompt = TextContent(text=(params.arguments or {})["prompt"])
    request = CreateMessageRequest(
        params=CreateMessageRequestParams(
            messages=[SamplingMessage(role="user", content=prompt)], max_tokens=100
        )
    )
    related = ServerMessageMetadata(related_request_id=ctx.request_id)
    result = await ctx.session.send_request(request, CreateMessageResult, metadata=related)
    return CallToolResult(content=[TextContent(text=result.model_dump_json())])


def _elicit(properties: Mapping[str, object]) -> Call:
    async def elicit(
        ctx: ServerRequestContext[Any], params: CallToolRequestParams
    ) -> CallToolResult:
        message = (params.arguments or {}).get("message", "Who are you?")
        schema = {"type": "object", "properties": dict(properties)}
        result = await ctx.session.elicit_form(message, schema, related_request_id=ctx.request_id)
        return CallToolResult(content=[TextContent(text=result.model_dump_json())])

    return elicit


async def _need_sampling(
    ctx: ServerRequestContext[Any], params: CallToolRequestParams
) -> CallToolResult:
    known = ctx.session.client_capabilities
    if known is None or known.sampling is None:
        needed: dict[str, Any] = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "this needs sampling", needed)
    return CallToolResult(content=[TextContent(text="sampling is there")])


async def _repeat(ctx: ServerRequestContext[Any], params: CallToolRequestParams) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=json.dumps(params.arguments))])


def create_plain_tools(bus: SubscriptionBus) -> dict[str, Call]:
    """The tools by name; two of them tell `bus` of a change."""

    def publish(event: ToolsListChanged | PromptsListChanged) -> Call:
        async def change(
            ctx: ServerRequestContext[Any], params: CallToolRequestParams
        ) -> CallToolResult:
            await bus.publish(event)
            return CallToolResult(content=[TextContent(text="changed")])

        return change

    held = embed("test://embedded-resource", "Held.")
    return {
        "test_image_content": _show(IMAGE),
        "test_audio_content": _show(AUDIO),
        "test_embedded_resource": _show(held),
        "test_multiple_content_types": _show(TextContent(text="Three kinds."), IMAGE, held),
        "test_tool_with_progress": _tell_progress,
        "test_tool_with_logging": _log,
        "test_logging_tool": _log,
        "test_sampling": _sample,
        "test_elicitation": _elicit(_PERSON),
        "test_elicitation_sep1034_defaults": _elicit(_DEFAULTS),
        "test_elicitation_sep1330_enums": _elicit(_ENUMS),
        "test_missing_capability": _need_sampling,
        "test_trigger_tool_change": publish(ToolsListChanged()),
        "test_trigger_prompt_change": publish(PromptsListChanged()),
        "test_custom_header": _repeat,
        "json_schema_2020_12_tool": _repeat,
    }


_ADDRESS = {"type": "object", "properties": {"street": {"type": "string"}}}
SCHEMAS: dict[str, dict[str, Any]] = {
    "test_custom_header": {
        "type": "object",
        "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
        "required": ["region"],
    },
    "json_schema_2020_12_tool": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": {"$anchor": "addressDef", **_ADDRESS}},
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    },
    "test_sampling": {"type": "object", "properties": {"prompt": {"type": "string"}}},
    "test_elicitation": {"type": "object", "properties": {"message": {"type": "string"}}},
}
"""The input schemas of the tools that take arguments."""
