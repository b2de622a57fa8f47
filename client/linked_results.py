"""What a tool's answer links to, read whole from the server that gave the answer."""

import base64
import binascii

from mcp_types import BlobResourceContents, ReadResourceResult, TextResourceContents

from client.hub.errors import ServerFaultError
from client.resource_reader import ResourceReader
from servers.tools.contract import MAX_RESULT_PART_BYTES, RESULT_SCHEME, RESULT_SIZE_META_KEY

_MAX_BYTES = 67_108_864


async def read_link(
    hub: ResourceReader,
    server: str,
    uri: str,
    owner: str | None = None,
    *,
    max_bytes: int = _MAX_BYTES,
) -> bytes:
    """The bytes behind `uri`; answers that our tools server keeps come in parts.

    Raises:
        HubError: There are none, or not any more.
    """
    if not uri.startswith(RESULT_SCHEME):
        return _read_contents(server, await hub.read_resource(server, uri, owner=owner))
    data = bytearray()
    while True:
        wanted = f"{uri}?offset={len(data)}&length={MAX_RESULT_PART_BYTES}"
        result = await hub.read_resource(server, wanted, owner=owner)
        part = _read_contents(server, result)
        data += part
        size = (result.contents[0].meta or {}).get(RESULT_SIZE_META_KEY)
        if not isinstance(size, int) or not part or len(data) > size:
            raise _not_as_asked(server)
        if size > max_bytes:
            raise ServerFaultError(
                server, f"what is linked has {size:,} bytes, and {max_bytes:,} is the most"
            )
        if len(data) == size:
            return bytes(data)


def _read_contents(server: str, result: ReadResourceResult) -> bytes:
    match result.contents:
        case [TextResourceContents() as contents]:
            return contents.text.encode("utf-8", "replace")
        case [BlobResourceContents() as contents]:
            try:
                return base64.b64decode(contents.blob, validate=True)
            except binascii.Error:
                raise _not_as_asked(server) from None
        case _:
            raise _not_as_asked(server)


def _not_as_asked(server: str) -> ServerFaultError:
    return ServerFaultError(
        server, f"server {server} answered with something else than what its link names"
    )
