"""An operation's parameters and body as the fields of a tool's declaration."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from agentic.config.findings import printable
from agentic.config.openapi.document import DocumentError, Node, Operation
from agentic.config.openapi.schema import Schema, SchemaReader, describe
from agentic.config.openapi.words import to_word
from agentic.config.tool_auth import is_credential_name
from agentic.config.tool_parameters import is_parameter_name

_MAX_PARAMETERS = 200
_NAME_CHARACTERS = 50
_ODD = re.compile(r"[^A-Za-z0-9_.-]+")
_PLACE = re.compile(r"\{([^{}]*)\}")
_SENT_ANYWAY = ("accept", "content-type", "authorization")
"""Headers that the specification forbids as parameters."""
_STYLES = {"path": "simple", "query": "form", "header": "simple"}
_SEPARATORS = {"form": ",", "simple": ",", "spaceDelimited": " ", "pipeDelimited": "|"}
_FORM = "application/x-www-form-urlencoded"


@dataclass(slots=True)
class RequestDraft:
    """What a call of one operation takes and sends.

    `sent`: headers and query parameters that the entry's credentials fill, in lower case.
    `left_out`: optional parameters that the entry names to be left out.
    """

    sent: Collection[str]
    left_out: Collection[str]
    path: str = ""
    body: str = "none"
    body_parameter: str | None = None
    query: dict[str, str] = field(default_factory=dict[str, str])
    headers: dict[str, str] = field(default_factory=dict[str, str])
    notes: list[str] = field(default_factory=list[str])
    """What can't be sent and is therefore no parameter."""
    _reader: SchemaReader = field(init=False)
    _of_body: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    _words: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    _in_path: dict[str, str] = field(default_factory=dict[str, str])
    _optional: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        self._reader = SchemaReader(self.left_out)

    @property
    def parameters(self) -> dict[str, dict[str, Any]]:
        """As `parameters` of a declaration."""
        return {**self._words, **self._of_body}

    def read(self, operation: Operation) -> None:
        """Take in an operation.

        Raises:
            DocumentError: It can't be called, or the document is wrong there.
        """
        body = operation.node.get("requestBody")
        if body is not None and operation.method != "GET":
            self._add_body(body)
        nodes = list(_iterate_parameters(operation))
        if len(nodes) > _MAX_PARAMETERS:
            raise operation.node.wrong(f"has more than {_MAX_PARAMETERS} parameters")
        for node in nodes:
            self._add_parameter(node)
        self._fill_path(operation)
        if unknown := [each for each in self.left_out if each not in self._optional]:
            raise DocumentError(
                f"leave_out names {printable(unknown[0])}, which is no optional parameter of it"
            )

    def _add_body(self, node: Node) -> None:
        content = node.get("content")
        medium, value = _choose_medium(content) if content is not None else ("", None)
        schema_node = None if value is None else value.get("schema")
        is_required = node.flag("required")
        if value is None:
            if is_required:
                kinds = (
                    ", ".join(printable(each[:60]) for each in content.mapping) if content else ""
                )
                raise node.wrong(f"takes {kinds or 'nothing'}, and tools send JSON or web forms")
            return
        schema: Schema = {}
        if schema_node is not None:
            self._optional |= {each for each in self.left_out if _may_leave_out(schema_node, each)}
            schema = self._reader.read(schema_node, is_body=True)
        if medium == _FORM:
            self._add_form(node, schema)
        else:
            self._add_json(schema, is_required=is_required)
            if medium not in ("application/json", "*/*"):
                self.headers["Content-Type"] = medium

    def _add_json(self, schema: Schema, *, is_required: bool) -> None:
        self.body = "json"
        properties: dict[str, Schema] = schema.get("properties", {})
        is_plain = "anyOf" not in schema and "additionalProperties" not in schema
        if properties and is_plain and all(map(is_parameter_name, properties)):
            required = schema.get("required", [])
            self._of_body = {
                name: _to_parameter(each, is_required=name in required)
                for name, each in properties.items()
            }
        else:
            self.body_parameter = "body"
            self._of_body = {"body": _to_parameter(schema, is_required=is_required)}

    def _add_form(self, node: Node, schema: Schema) -> None:
        self.body = "form"
        properties: dict[str, Schema] = schema.get("properties", {})
        if not properties:
            raise node.wrong("is a web form without named fields")
        for name, each in properties.items():
            is_required = name in schema.get("required", [])
            word = to_word(each) if is_parameter_name(name) else None
            if word is not None:
                self._of_body[name] = {**word, "required": is_required}
            else:
                self._leave(node, name, "can't be a field of a web form", is_required=is_required)

    def _add_parameter(self, node: Node) -> None:
        where, wire = node.text("in"), node.text("name")
        is_required = node.flag("required") or where == "path"
        if not wire or where not in (*_STYLES, "cookie"):
            raise node.wrong("should have a name, and in: path, query, header or cookie")
        if not is_required:
            self._optional.add(wire)
            if wire in self.left_out:
                return
        if wire.lower() in self.sent or (where == "header" and wire.lower() in _SENT_ANYWAY):
            return
        if where == "cookie" or (where == "header" and is_credential_name(wire)):
            if is_required:
                raise node.wrong(
                    f"{printable(wire[:60])} is a credential, which a model may not know: give it "
                    "under headers or auth of the entry"
                )
            return
        word = self._read_word(node, where)
        if word is None:
            self._leave(node, wire, "can't be sent as a word", is_required=is_required)
            return
        name = self._choose_name(wire, where)
        self._words[name] = {**word, "required": is_required}
        match where:
            case "path":
                self._in_path[wire] = name
            case "query":
                self.query[wire] = f"{{{name}}}"
            case _:
                self.headers[wire] = f"{{{name}}}"

    def _read_word(self, node: Node, where: str) -> dict[str, Any] | None:
        style = node.text("style") or _STYLES[where]
        if node.get("content") is not None or style not in _SEPARATORS:
            return None
        schema_node = node.get("schema")
        word = to_word({} if schema_node is None else self._reader.read(schema_node))
        if word is None:
            return None
        if told := describe(node, schema_node):
            word["description"] = told
        is_repeated = where == "query" and node.flag("explode", default=style == "form")
        if word["type"] == "array" and not is_repeated:
            word["separator"] = _SEPARATORS[style]
        return word

    def _choose_name(self, wire: str, where: str) -> str:
        """The parameter's own name where that can be one and is not taken."""
        plain = (
            wire if is_parameter_name(wire) else _ODD.sub("_", wire)[:_NAME_CHARACTERS].strip("_")
        )
        taken = self.parameters
        for name in (plain, f"{plain[:_NAME_CHARACTERS]}_{where}".lstrip("_")):
            if name and name not in taken:
                return name
        number = next(at for at in range(2, len(taken) + 3) if f"{where}_{at}" not in taken)
        return f"{where}_{number}"

    def _leave(self, node: Node, wire: str, why: str, *, is_required: bool) -> None:
        if is_required:
            raise node.wrong(f"{printable(wire[:60])} is required and {why}")
        self.notes.append(f"{printable(wire[:60])} {why} and is left out")

    def _fill_path(self, operation: Operation) -> None:
        if not operation.path.startswith("/") or any(each in operation.path for each in "?#"):
            raise operation.item.wrong("should be a path that begins with / and has no ? or #")
        end = 0
        for place in _PLACE.finditer(operation.path):
            self.path += _escape(operation.path[end : place.start()])
            end = place.end()
            if place[1] not in self._in_path:
                raise operation.node.wrong(
                    f"has no parameter for {printable(place[0][:60])} of its path"
                )
            self.path += f"{{{self._in_path.pop(place[1])}}}"
        self.path += _escape(operation.path[end:])
        for wire in self._in_path:
            raise operation.node.wrong(f"has a parameter {printable(wire[:60])} twice or nowhere")


def _iterate_parameters(operation: Operation) -> Iterator[Node]:
    """The operation's own, and those of its path that it doesn't say anew."""
    found = {
        (node.text("in"), node.text("name")): node
        for holder in (operation.item, operation.node)
        for node in holder.each("parameters")
    }
    yield from found.values()


def _choose_medium(content: Node) -> tuple[str, Node | None]:
    """The media type to send, JSON first."""
    found: dict[int, tuple[str, Node]] = {}
    for name, value in content.items():
        medium = name.partition(";")[0].strip().lower()
        if medium in ("application/json", "*/*"):
            found.setdefault(0, (medium, value))
        elif medium.endswith("+json"):
            found.setdefault(1, (medium, value))
        elif medium == _FORM:
            found.setdefault(2, (medium, value))
    return found[min(found)] if found else ("", None)


def _to_parameter(schema: Schema, *, is_required: bool) -> dict[str, Any]:
    told = {key: schema[key] for key in ("description",) if key in schema}
    rest = {key: value for key, value in schema.items() if key != "description"}
    return {"schema": rest, "required": is_required, **told}


def _may_leave_out(schema: Node, name: str) -> bool:
    """Whether a body has a property of that name which it does without."""
    parts = [schema, *schema.each("allOf")]
    is_there = any(
        (properties := part.get("properties")) is not None and name in properties.mapping
        for part in parts
    )
    required = (part.mapping.get("required") for part in parts)
    return is_there and not any(isinstance(each, list) and name in each for each in required)


def _escape(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
