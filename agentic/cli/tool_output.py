"""What a tool gave, in a file."""

import base64
import binascii
from pathlib import Path

from mcp_types import AudioContent, CallToolResult, ImageContent, ResourceLink, TextContent

from agentic.cli.failures import CommandError
from agentic.cli.invocation import note
from agentic.cli.output_files import replaced_output
from agentic.cli.terminal_text import one_line
from client.hub.hub import Hub
from client.linked_results import read_link


async def save_result(
    hub: Hub, server: str, result: CallToolResult, output: Path, *, force: bool
) -> None:
    """Write what the answer links to, else its first picture or sound, else its text.

    Raises:
        HubError: What is linked did not come.
        CommandError: There is nothing to write.
    """
    links = [block for block in result.content if isinstance(block, ResourceLink)]
    media = [block for block in result.content if isinstance(block, ImageContent | AudioContent)]
    texts = [block.text for block in result.content if isinstance(block, TextContent)]
    if links:
        data = await read_link(hub, server, links[0].uri)
        what = f"{links[0].name}, {links[0].mime_type or 'of unknown type'}"
    elif media:
        data, what = _decode(media[0].data), media[0].mime_type
    elif texts:
        data, what = "\n".join(texts).encode("utf-8", "replace"), "text"
    else:
        raise CommandError("The answer holds nothing to write.")
    with replaced_output(output, force=force) as file:
        file.buffer.write(data)
    note(f"{one_line(what)}, {len(data):,} bytes")


def _decode(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error:
        raise CommandError("The answer's picture or sound is damaged.") from None
