"""Grammars that the engine holds a model to: one of some words, with calls after it or without.

In GBNF, the engine's own notation. It makes such grammars of JSON Schemas as well, but then a word
before the JSON, without quotes, can't be had; and quotes are written as slowly as words are.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from client.llm.local.call_shape import MAX_CALLS, CallShape, write_json

_MAX_LISTED = 200
"""So wide a range of integers is written out; of a wider one only the sign and the length hold."""
_RULES = r"""
boolean ::= "true" | "false"
character ::= [^"\\\x7F\x00-\x1F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4})
number ::= "-"? ("0" | [1-9] [0-9]{0,14}) ("." [0-9]{1,9})?
date ::= [12] [0-9]{3} "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | [12] [0-9] | "3" [01])
time ::= ("0" [0-9] | "1" [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] zone
zone ::= "Z" | [+-] ("0" [0-9] | "1" [0-4]) ":" [0-5] [0-9]
"""
_COMMA = ' "," '
_FORMATS = {"date": "date", "time": "time", "date-time": 'date "T" time'}

Schema = Mapping[str, Any]


def to_grammar(choices: Mapping[str, CallShape | None]) -> str:
    """One of the words, and after it a list of calls of its shape, if it has one."""
    writer = _Writer()
    root = " | ".join(
        _quote(word) if shape is None else f"{_quote(word)} {writer.to_calls(shape)}"
        for word, shape in choices.items()
    )
    rules = "".join(f"\n{name} ::= {rule}" for rule, name in writer.names.items())
    return f"root ::= {root}{rules}{_RULES}"


class _Writer:
    """Gives each rule a name, and those that are alike the same: a grammar stays small so."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def to_calls(self, shape: CallShape) -> str:
        """A list of one to four; nothing where nothing is filled in."""
        if not shape.properties:
            return ""
        needed = tuple(shape.properties) if shape.needed else ()
        call = self._name(self._to_object(shape.properties, needed))
        return f'"[" {call} ({_COMMA} {call}){{0,{MAX_CALLS - 1}}} "]"'

    def to_rule(self, schema: Schema) -> str:
        """The name of what stands for `schema`, or the thing itself where that is short."""
        if "const" in schema:
            return _quote(write_json(schema["const"]))
        if "enum" in schema:
            return self._name(" | ".join(_quote(write_json(value)) for value in schema["enum"]))
        if "anyOf" in schema:
            return self._name(" | ".join(map(self.to_rule, schema["anyOf"])))
        match schema["type"]:
            case "object":
                return self._name(self._to_object(schema["properties"], schema["required"]))
            case "array":
                return self._name(self._to_array(schema))
            case "integer":
                return self._name(_to_integer(schema["minimum"], schema["maximum"]))
            case "string":
                return self._name(_to_string(schema))
            case kind:
                return {"number": "number", "boolean": "boolean", "null": '"null"'}[kind]

    def _name(self, rule: str) -> str:
        return self.names.setdefault(rule, f"rule{len(self.names)}")

    def _to_object(self, properties: Mapping[str, Schema], required: Sequence[str]) -> str:
        """What is needed first, then of the rest what is wanted, in this order."""
        members = {
            name: self._name(f"{_quote(write_json(name) + ':')} {self.to_rule(value)}")
            for name, value in properties.items()
        }
        needed = [members[name] for name in required]
        wanted = [member for name, member in members.items() if name not in required]
        if needed:
            inner = " ".join([_COMMA.join(needed), *map(_after_comma, wanted)])
            return f'"{{" {inner} "}}"'
        # Whichever is the first has no comma before it.
        firsts = [
            " ".join([member, *map(_after_comma, wanted[number:])])
            for number, member in enumerate(wanted, start=1)
        ]
        return f'"{{" ({" | ".join(firsts)})? "}}"' if firsts else '"{}"'

    def _to_array(self, schema: Schema) -> str:
        item = self.to_rule(schema["items"])
        least, most = schema["minItems"], schema["maxItems"]
        more = f"({_COMMA} {item}){{{max(0, least - 1)},{most - 1}}}" if most > 1 else ""
        return f'"[" ({item} {more}){"" if least else "?"} "]"'


def _after_comma(member: str) -> str:
    return f"({_COMMA} {member})?"


def _to_string(schema: Schema) -> str:
    if "format" in schema:
        return rf'"\"" {_FORMATS[schema["format"]]} "\""'
    return rf'"\"" character{{{schema.get("minLength", 0)},{schema["maxLength"]}}} "\""'


def _to_integer(least: int, most: int) -> str:
    if most - least < _MAX_LISTED:
        return " | ".join(_quote(str(number)) for number in range(least, most + 1))
    digits = len(str(max(abs(least), abs(most))))
    sign = '"-"? ' if least < 0 else ""
    return f'{sign}("0" | [1-9] [0-9]{{0,{digits - 1}}})'


def _quote(text: str) -> str:
    """A literal of the grammar."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"{}"'.format(escaped.replace("\n", "\\n").replace("\r", "\\r"))
