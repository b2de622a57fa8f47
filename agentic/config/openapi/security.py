"""How an operation wants to be told who calls, and where a token goes for that."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from agentic.config.findings import printable
from agentic.config.openapi.document import Node, Operation
from agentic.config.rules import HEADER_NAME

_MAX_ALTERNATIVES = 20


@dataclass(frozen=True, slots=True)
class Scheme:
    """One way. `name`: of the header or the query parameter, for these two."""

    way: Literal["bearer", "basic", "header", "query", "other"]
    name: str = ""

    def __str__(self) -> str:
        match self.way:
            case "bearer":
                return "a bearer token"
            case "basic":
                return "a user and a password"
            case "header":
                return f"a key in the header {self.name}"
            case "query":
                return f"a key in the query as {self.name}"
            case "other":
                return f"{self.name or 'something'}, which tools can't give"

    def to_auth(self, token: str) -> Mapping[str, object] | None:
        """The token as `auth` of a declaration; None: it can't be given in this way."""
        match self.way:
            case "bearer":
                return {"bearer": token}
            case "header" | "query":
                return {self.way: {"name": self.name, "value": token}}
            case "basic" | "other":
                return None


def read_security(operation: Operation) -> list[Scheme]:
    """The ways of which one is enough; empty: nothing is needed, or nothing is said."""
    root = Node(operation.node.root, dict(operation.node.root))
    holder = operation.node if operation.node.get("security") is not None else root
    alternatives = [list(_read_alternative(root, each)) for each in holder.each("security")]
    if not all(alternatives):
        return []
    return [
        each[0] if len(each) == 1 else Scheme("other", " and ".join(map(str, each)))
        for each in alternatives[:_MAX_ALTERNATIVES]
    ]


def _read_alternative(root: Node, requirement: Node) -> Iterator[Scheme]:
    components = root.get("components")
    schemes = None if components is None else components.get("securitySchemes")
    for name in requirement.mapping:
        scheme = None if schemes is None else schemes.get(name)
        if scheme is None:
            raise requirement.wrong(f"names {printable(name[:60])}, which securitySchemes lacks")
        yield _read_scheme(scheme)


def _read_scheme(scheme: Node) -> Scheme:
    kind, name = scheme.text("type"), scheme.text("name")
    match kind, scheme.text("in") or scheme.text("scheme").lower():
        case "http", "bearer":
            return Scheme("bearer")
        case "http", "basic":
            return Scheme("basic")
        case (("oauth2" | "openIdConnect"), _):
            return Scheme("bearer")
        case "apiKey", "header" if HEADER_NAME.fullmatch(name):
            return Scheme("header", name)
        case "apiKey", "query" if name and name.isprintable():
            return Scheme("query", name[:100])
        case _, how:
            return Scheme("other", printable(f"{kind} {how}".strip()[:60]))
