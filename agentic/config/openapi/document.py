"""An OpenAPI document as a tree: read from JSON or YAML, its references followed within it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Literal, cast
from urllib.parse import unquote

from agentic.config.findings import KeyPath, dotted, find_nearest, printable
from agentic.config.yaml_text import Tree, YamlTextError, parse_yaml

MAX_DOCUMENT_BYTES = 16_777_216
_MAX_YAML_BYTES = 2_097_152
"""YAML takes nine times as long to read as JSON."""
_MAX_YAML_VALUES = 500_000
_MAX_HOPS = 16
"""From reference to reference."""
_COMPARED_NAMES = 2_000
_VERSIONS = ("3.0", "3.1", "3.2")
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
METHODS: Mapping[str, Method] = {
    "get": "GET",
    "post": "POST",
    "put": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
}


class DocumentError(Exception):
    """What is wrong with a document; the text names the place in it."""


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a document. `path`: where it stands, behind all references."""

    root: Mapping[str, Tree] = field(repr=False)
    value: Tree = field(repr=False)
    path: KeyPath = ()

    def get(self, key: str) -> "Node | None":
        """What stands under `key`, its reference followed; None: nothing."""
        value = self.value.get(key) if isinstance(self.value, dict) else None
        return None if value is None else self._follow(value, (*self.path, key))

    def text(self, key: str) -> str:
        """The text under `key`, empty if there is none."""
        value = self.value.get(key) if isinstance(self.value, dict) else None
        return value if isinstance(value, str) else ""

    def flag(self, key: str, *, default: bool = False) -> bool:
        """The true or false under `key`."""
        value = self.value.get(key) if isinstance(self.value, dict) else None
        return value if isinstance(value, bool) else default

    def items(self) -> Iterator[tuple[str, "Node"]]:
        """Keys and values of a mapping."""
        for key, value in self.mapping.items():
            yield key, self._follow(value, (*self.path, key))

    def each(self, key: str) -> Iterator["Node"]:
        """The items of the list under `key`, if there is one."""
        node = self.get(key)
        if node is None:
            return
        if not isinstance(node.value, list):
            raise node.wrong("should be a list")
        for at, value in enumerate(node.value):
            yield self._follow(value, (*node.path, at))

    @property
    def mapping(self) -> dict[str, Tree]:
        """The value, which has to be a mapping.

        Raises:
            DocumentError: It is none.
        """
        if not isinstance(self.value, dict):
            raise self.wrong("should be a mapping")
        return self.value

    def wrong(self, text: str) -> DocumentError:
        """An error about this place."""
        return DocumentError(f"{dotted(self.path)}: {text}")

    def _follow(self, value: Tree, path: KeyPath) -> "Node":
        """The value, or what it refers to; a summary or description beside a reference wins."""
        told: dict[str, Tree] = {}
        for _ in range(_MAX_HOPS):
            if not isinstance(value, dict) or "$ref" not in value:
                is_told = bool(told) and isinstance(value, dict)
                shown = {**value, **told} if is_told and isinstance(value, dict) else value
                return Node(self.root, shown, path)
            beside = {each: value[each] for each in ("summary", "description") if each in value}
            told = {**beside, **told}
            target = self._find(value["$ref"], path)
            value, path = target.value, target.path
        raise Node(self.root, value, path).wrong(
            f"is a chain of more than {_MAX_HOPS} references, perhaps without an end"
        )

    def _find(self, reference: Tree, path: KeyPath) -> "Node":
        here = Node(self.root, None, path)
        if not isinstance(reference, str) or not reference.startswith("#/"):
            raise here.wrong(
                f"refers to {printable(str(reference)[:80])}, outside of the document: put all "
                "into one document (tools for OpenAPI call that bundling)"
            )
        value: Tree = dict(self.root)
        found: KeyPath = ()
        for step in reference[2:].split("/"):
            key: str | int = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(value, list) and key.isascii() and key.isdigit():
                key = int(key[:9])
            value = _below(value, key)
            found = (*found, key)
            if value is None:
                raise here.wrong(f"refers to {printable(reference[:80])}, which is not there")
        return Node(self.root, value, found)


@dataclass(frozen=True, slots=True)
class Operation:
    """What can be asked of an API: a method at a path."""

    method: Method
    path: str
    item: Node
    """The path's entry: what all its methods share."""
    node: Node

    @property
    def place(self) -> str:
        """As a person names it: `GET /pets/{id}`."""
        return f"{self.method} {self.path}"

    @property
    def id(self) -> str:
        """Its operationId, empty if it has none."""
        return self.node.text("operationId")


@dataclass(frozen=True)
class Document:
    """A whole document. Nothing of it is checked but what is used."""

    root: Node

    def iterate(self) -> Iterator[Operation]:
        """All operations, in the order of the document. A path that is none is passed over."""
        paths = cast("Node", self.root.get("paths"))
        for path in paths.mapping:
            try:
                item = paths.get(path)
            except DocumentError:
                continue
            if item is None or not isinstance(item.value, dict):
                continue
            for key, value in item.value.items():
                if key in METHODS and isinstance(value, dict):
                    node = Node(item.root, value, (*item.path, key))
                    yield Operation(METHODS[key], path, item, node)

    @cached_property
    def _by_name(self) -> dict[str, list[Operation]]:
        named: dict[str, list[Operation]] = {}
        for operation in self.iterate():
            named.setdefault(operation.place, []).append(operation)
            if operation.id:
                named.setdefault(operation.id, []).append(operation)
        return named

    def find(self, name: str) -> Operation:
        """The operation by its operationId, or by method and path.

        Raises:
            DocumentError: There is none, or more than one.
        """
        method, _, path = name.partition(" ")
        wanted = f"{method.upper()} {path.strip()}" if path.strip().startswith("/") else name
        match self._by_name.get(wanted, []):
            case [operation]:
                return operation
            case []:
                nearest = find_nearest(wanted, islice(self._by_name, _COMPARED_NAMES))
                hint = f"did you mean {printable(nearest[:80])}?" if nearest else "see its paths"
                raise DocumentError(f"has no operation {printable(name[:80])}; {hint}")
            case several:
                places = " and ".join(printable(each.place[:80]) for each in several[:3])
                raise DocumentError(
                    f"has {len(several)} operations {printable(name[:80])}; name {places}"
                )


def parse_document(data: bytes) -> Document:
    """Read a document.

    Raises:
        DocumentError: It is no JSON or YAML, or no OpenAPI of a version that is known.
    """
    tree = _parse_text(data)
    if not isinstance(tree, dict):
        raise DocumentError("should be a mapping that begins with openapi: 3.0.3 or the like")
    if "swagger" in tree:
        raise DocumentError("is in the older format Swagger 2; convert it to OpenAPI 3")
    version = str(tree.get("openapi", ""))
    if version.split(".")[:2] not in [each.split(".") for each in _VERSIONS]:
        told = f"is {printable(version[:20])}" if version else "is missing"
        raise DocumentError(f"openapi: {told}, should be 3.0, 3.1 or 3.2")
    document = Document(Node(tree, tree))
    if not isinstance(tree.get("paths"), dict):
        raise DocumentError("paths: should be a mapping of paths to their operations")
    return document


def _parse_text(data: bytes) -> Tree:
    if len(data) > MAX_DOCUMENT_BYTES:
        raise DocumentError(f"is larger than {MAX_DOCUMENT_BYTES:,} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DocumentError(f"line {line}: is not UTF-8") from None
    if text.lstrip()[:1] == "{":
        try:
            return cast("Tree", json.loads(text))
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}"
            raise DocumentError(f"{where}: is no JSON: {error.msg}") from None
        except (ValueError, RecursionError):
            raise DocumentError(
                "holds a number that is too long, or is nested too deeply"
            ) from None
    if len(data) > _MAX_YAML_BYTES:
        raise DocumentError(f"is YAML of more than {_MAX_YAML_BYTES:,} bytes: convert it to JSON")
    try:
        return parse_yaml(text, max_values=_MAX_YAML_VALUES).tree
    except YamlTextError as error:
        raise DocumentError(str(error)) from None


def _below(value: Tree, key: str | int) -> Tree:
    match value, key:
        case dict(), str():
            return value.get(key)
        case list(), int() if key < len(value):
            return value[key]
        case _:
            return None
