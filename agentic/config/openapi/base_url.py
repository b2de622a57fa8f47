"""Where the operations of a document are called, and whether the document may say so."""

import re
from urllib.parse import urljoin, urlsplit

from agentic.config.findings import printable
from agentic.config.openapi.document import DocumentError, Node, Operation
from agentic.config.reach import leads_inside, parse_address

_VARIABLE = re.compile(r"\{([^{}]*)\}")


def find_base_url(operation: Operation, origin: str | None) -> str:
    """The address that the document gives for an operation. `origin`: where it was got from, if so.

    A document is others' text: it may lead to its own host, or, if it is a file, into the public
    network by https. Anything else has to be said by `base_url`.

    Raises:
        DocumentError: It gives none, or one that it may not give.
    """
    root = Node(operation.node.root, dict(operation.node.root))
    for holder in (operation.node, operation.item, root):
        server = next(holder.each("servers"), None)
        if server is not None:
            url = _fill(server)
            break
    else:
        url = "/"
    base = url if origin is None else urljoin(origin, url)
    shown = printable(base[:120])
    try:
        parts = urlsplit(base)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        is_usable = is_usable and not (parts.query or parts.fragment or parts.username)
    except ValueError:
        is_usable = False
    if not is_usable:
        raise DocumentError(f"servers: {shown} is no address: give the entry a base_url")
    if origin is not None and _origin_of(base) != _origin_of(origin):
        raise DocumentError(
            f"servers: leads to {shown}, and the document is from another host: if that is meant, "
            f"write base_url: {shown}"
        )
    is_address = parse_address(urlsplit(base).hostname or "") is not None
    if origin is None and (not base.startswith("https:") or is_address or leads_inside(base)):
        raise DocumentError(
            f"servers: leads to {shown}, which is no host of the public network by https: if that "
            f"is meant, write base_url: {shown}"
        )
    return base


def _fill(server: Node) -> str:
    variables = server.get("variables")

    def get_default(found: re.Match[str]) -> str:
        variable = None if variables is None else variables.get(found[1])
        return "" if variable is None else variable.text("default")

    return _VARIABLE.sub(get_default, server.text("url"))


def _origin_of(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, parts.port or usual
