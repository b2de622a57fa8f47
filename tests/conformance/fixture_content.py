"""What the fixture server shows: blocks of every kind, resources and prompts."""

import base64
import io
import json
import re
import wave
from typing import Any

from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    AudioContent,
    BlobResourceContents,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    EmbeddedResource,
    GetPromptRequestParams,
    GetPromptResult,
    ImageContent,
    ListResourcesResult,
    ListResourceTemplatesResult,
    PaginatedRequestParams,
    Prompt,
    PromptArgument,
    PromptMessage,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextContent,
    TextResourceContents,
)

_PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJg"
    "gg=="
)
_TEMPLATE = re.compile(r"test://template/([^/]+)/data")


def _silence() -> str:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8_000)
        sound.writeframes(bytes(160))
    return base64.b64encode(file.getvalue()).decode()


IMAGE = ImageContent(data=_PIXEL, mime_type="image/png")
AUDIO = AudioContent(data=_silence(), mime_type="audio/wav")


def embed(uri: str, text: str, mime_type: str = "text/plain") -> EmbeddedResource:
    """A text resource inside a result."""
    return EmbeddedResource(resource=TextResourceContents(uri=uri, mime_type=mime_type, text=text))


RESOURCES = [
    Resource(uri="test://static-text", name="text", mime_type="text/plain"),
    Resource(uri="test://static-binary", name="binary", mime_type="image/png"),
    Resource(uri="test://watched-resource", name="watched", mime_type="text/plain"),
]
PROMPTS = [
    Prompt(name="test_simple_prompt", description="One message."),
    Prompt(
        name="test_prompt_with_arguments",
        description="Repeats two arguments.",
        arguments=[
            PromptArgument(name=name, description="Any text.", required=True)
            for name in ("arg1", "arg2")
        ],
    ),
    Prompt(
        name="test_prompt_with_embedded_resource",
        description="Holds a resource.",
        arguments=[PromptArgument(name="resourceUri", description="Its URI.", required=True)],
    ),
    Prompt(name="test_prompt_with_image", description="Holds an image."),
]


async def list_resources(
    ctx: ServerRequestContext[Any], params: PaginatedRequestParams | None
) -> ListResourcesResult:
    return ListResourcesResult(resources=RESOURCES)


async def list_templates(
    ctx: ServerRequestContext[Any], params: PaginatedRequestParams | None
) -> ListResourceTemplatesResult:
    template = ResourceTemplate(
        uri_template="test://template/{id}/data", name="template", mime_type="application/json"
    )
    return ListResourceTemplatesResult(resource_templates=[template])


async def read_resource(
    ctx: ServerRequestContext[Any], params: ReadResourceRequestParams
) -> ReadResourceResult:
    uri = params.uri
    if uri == "test://static-binary":
        blob = BlobResourceContents(uri=uri, mime_type="image/png", blob=_PIXEL)
        return ReadResourceResult(contents=[blob])
    if uri in {resource.uri for resource in RESOURCES}:
        text = TextResourceContents(uri=uri, mime_type="text/plain", text=f"The text of {uri}")
        return ReadResourceResult(contents=[text])
    if match := _TEMPLATE.fullmatch(uri):
        data = json.dumps({"id": match[1]})
        made = TextResourceContents(uri=uri, mime_type="application/json", text=data)
        return ReadResourceResult(contents=[made])
    raise MCPError(INVALID_PARAMS, "Resource not found", {"uri": uri})


def get_prompt(params: GetPromptRequestParams) -> GetPromptResult:
    """One of `PROMPTS`, filled in."""
    given = params.arguments or {}
    match params.name:
        case "test_simple_prompt":
            contents = [TextContent(text="Say something.")]
        case "test_prompt_with_arguments":
            contents = [TextContent(text=f"First {given['arg1']}, then {given['arg2']}.")]
        case "test_prompt_with_embedded_resource":
            contents = [embed(given["resourceUri"], "Held."), TextContent(text="Read it.")]
        case "test_prompt_with_image":
            contents = [IMAGE, TextContent(text="Look at it.")]
        case _:
            raise MCPError(INVALID_PARAMS, f"there is no prompt {params.name}")
    return GetPromptResult(messages=[PromptMessage(role="user", content=each) for each in contents])


async def complete(ctx: ServerRequestContext[Any], params: CompleteRequestParams) -> CompleteResult:
    prefix = params.argument.value
    return CompleteResult(
        completion=Completion(values=[f"{prefix}-one", f"{prefix}-two"], total=2, has_more=False)
    )
