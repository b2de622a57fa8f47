"""The operations of a document that an entry names, as declarations of tools."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from agentic.config.call_limits import CallLimits
from agentic.config.findings import KeyPath, WrongFieldError, printable
from agentic.config.openapi.base_url import find_base_url
from agentic.config.openapi.document import Document, DocumentError, Operation
from agentic.config.openapi.request import RequestDraft
from agentic.config.openapi.security import Scheme, read_security
from agentic.config.plain_text import one_line, strip_controls
from agentic.config.tool_source import (
    ALL_THAT_READ,
    OperationConfig,
    SourceConfig,
    is_remote,
)
from agentic.config.tools import ToolConfig

_MAX_OF_ALL = 100
_ODD = re.compile(r"[^A-Za-z0-9_.-]+")
_NAME_CHARACTERS = 128
_TITLE_CHARACTERS = 80
_DESCRIPTION_CHARACTERS = 1_000
_NOT_OF_TOOLS = ("name", "leave_out")


@dataclass(slots=True)
class Made:
    """What an operation became: a tool, or what is wrong below its key in the entry."""

    path: tuple[str, ...]
    """Below `operations` of the entry; of `*` with the operation."""
    name: str = ""
    tool: ToolConfig | None = None
    problems: list[WrongFieldError] = field(default_factory=list[WrongFieldError])
    notes: list[str] = field(default_factory=list[str])


def create_tools(entry: str, source: SourceConfig, document: Document) -> Iterator[Made]:
    """A tool for each operation that `source`, the entry of that name, stands for."""
    for key, overrides in source.operations.items():
        try:
            operations = _find(document, key, source)
        except DocumentError as error:
            yield Made((key,), problems=[WrongFieldError((), str(error))])
            continue
        for operation in operations:
            path = (key, operation.place) if key == ALL_THAT_READ else (key,)
            made = Made(path, overrides.name or _create_name(entry, operation))
            try:
                _fill(made, entry, source, operation, overrides)
            except ValidationError as error:
                found = map(_explain, error.errors(include_url=False))
                made.problems = [_place(each, overrides) for each in found]
            except DocumentError as error:
                made.problems = [WrongFieldError((), str(error))]
            yield made


def _find(document: Document, key: str, source: SourceConfig) -> list[Operation]:
    if key != ALL_THAT_READ:
        return [document.find(key)]
    named = [document.find(each).place for each in source.operations if each != ALL_THAT_READ]
    found = [
        each for each in document.iterate() if each.method == "GET" and each.place not in named
    ]
    if len(found) > _MAX_OF_ALL:
        raise DocumentError(
            f"has {len(found):,} operations that read, and no model can choose among so many: name "
            f"those that matter ('*' takes up to {_MAX_OF_ALL})"
        )
    return found


def _create_name(entry: str, operation: Operation) -> str:
    name = operation.id or f"{operation.method.lower()}{operation.path}"
    return f"{entry}_{_ODD.sub('_', name).strip('_')}"[:_NAME_CHARACTERS]


def _fill(
    made: Made,
    entry: str,
    source: SourceConfig,
    operation: Operation,
    overrides: OperationConfig,
) -> None:
    schemes = read_security(operation)
    auth = _choose_auth(source, schemes)
    draft = RequestDraft(frozenset(_list_sent(source, schemes)), overrides.leave_out)
    draft.read(operation)
    origin = source.openapi if is_remote(source.openapi) else None
    base = source.base_url or find_base_url(operation, origin)
    rules = _list_set(source, CallLimits) | _list_set(overrides, OperationConfig)
    is_read_only = overrides.read_only is True or operation.method == "GET"
    if not is_read_only and "cache_seconds" not in overrides.model_fields_set:
        rules = {key: each for key, each in rules.items() if not key.startswith("cache_")}
    made.notes = draft.notes
    made.tool = ToolConfig.model_validate(
        {
            "description": _describe(operation),
            "title": one_line(operation.node.text("summary"), _TITLE_CHARACTERS) or None,
            **rules,
            "url": f"{base.rstrip('/')}{draft.path}",
            "method": operation.method,
            "parameters": draft.parameters,
            "query": draft.query,
            "headers": {**draft.headers, **source.headers},
            "body": draft.body,
            "body_parameter": draft.body_parameter,
            "auth": auth,
            "requires_auth": bool(schemes),
            "private_network": source.private_network,
            "missing_variables": source.missing_variables,
            "source": entry,
            "operation": made.path[0],
            "has_own_rate": "rate_limit" in overrides.model_fields_set,
            "wants": " or ".join(map(str, schemes)),
        }
    )


def _list_set(config: BaseModel, kind: type[CallLimits]) -> dict[str, object]:
    """The fields that were given, as a declaration spells them."""
    return {
        info.alias or name: getattr(config, name)
        for name, info in kind.model_fields.items()
        if name in config.model_fields_set and name not in _NOT_OF_TOOLS
    }


def _choose_auth(source: SourceConfig, schemes: list[Scheme]) -> object:
    if source.token is None:
        return source.auth
    token = source.token.get_secret_value()
    if not schemes:
        return {"bearer": token}
    for scheme in schemes:
        if (auth := scheme.to_auth(token)) is not None:
            return auth
    ways = printable(" or ".join(map(str, schemes))[:200])
    raise DocumentError(f"wants {ways}, which a token is not: give the entry auth or headers")


def _list_sent(source: SourceConfig, schemes: list[Scheme]) -> Iterator[str]:
    """Names that credentials have in a request, so that they are no parameters of the tool."""
    yield from (name.lower() for name in source.headers)
    yield from (scheme.name.lower() for scheme in schemes if scheme.way in ("header", "query"))
    if source.auth is not None:
        for named in (source.auth.header, source.auth.query):
            if named is not None:
                yield named.name.lower()


def _describe(operation: Operation) -> str:
    node = operation.node
    told = [strip_controls(node.text(key)).strip() for key in ("summary", "description")]
    if told[1].startswith(told[0]):
        del told[0]
    text = "\n".join(part for part in told if part)
    if node.flag("deprecated"):
        text = f"Deprecated. {text}"
    if len(text) > _DESCRIPTION_CHARACTERS:
        text = f"{text[:_DESCRIPTION_CHARACTERS]}…"
    return text or printable(operation.place)


def _explain(details: ErrorDetails) -> WrongFieldError:
    wrong: object = details.get("ctx", {}).get("error")
    path: KeyPath = details["loc"]
    if isinstance(wrong, WrongFieldError):
        return WrongFieldError((*path, *wrong.path), wrong.text)
    return WrongFieldError(path, str(wrong) if wrong is not None else details["msg"])


def _place(problem: WrongFieldError, overrides: OperationConfig) -> WrongFieldError:
    """The problem; where the entry doesn't say the field, as one of the document's."""
    given = {
        str(OperationConfig.model_fields[each].alias or each) for each in overrides.model_fields_set
    }
    is_own = bool(problem.path) and problem.path[0] in given
    return problem if is_own else WrongFieldError((), str(problem))
