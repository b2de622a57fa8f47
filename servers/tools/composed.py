"""A tool of steps: calls of declared tools one after the other, as one call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import anyio
import anyio.to_thread
import httpx2
from mcp import types

from agentic.config.selection import compile_selection
from agentic.config.tool_steps import PARAMETERS, StepConfig, StepsConfig, find_expression
from servers.tools.arguments import MAX_REQUEST_ID_CHARACTERS, REQUEST_ID, ArgumentReader
from servers.tools.contract import CONFIRM_META_KEY
from servers.tools.declared import DeclaredTool, describe
from servers.tools.kept_answers import KeptAnswers
from servers.tools.results import ANSWER_SCHEMA, ToolFailedError, render_answer

_SUFFIX_CHARACTERS = 3
"""Of a step's number behind the id of the whole."""
Known = dict[str, object]
"""The parameters, and the results of steps by their labels."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step and the tool that it calls."""

    config: StepConfig
    tool: DeclaredTool

    @property
    def changes(self) -> bool:
        """Whether it may have an effect."""
        hints = self.tool.definition.annotations
        return hints is None or not hints.read_only_hint

    def fill(self, known: Known) -> dict[str, object] | None:
        """Its arguments, but for those whose expression gives null; None: it is left out.

        Raises:
            ToolFailedError: An expression got what it doesn't take.
        """
        if self.config.when is not None and not _search(self.config.when, known):
            return None
        filled = {name: _fill(each, known) for name, each in self.config.arguments.items()}
        given = self.config.arguments
        return {k: each for k, each in filled.items() if each is not None or given[k] is None}


@dataclass(slots=True)
class _Progress:
    """How far a call has come."""

    known: Known
    current: str = ""
    may_change: bool = False
    done: list[str] = field(default_factory=list[str])
    """Labels of the steps that may have had an effect."""

    def fail(self, code: str, text: str, error: ToolFailedError | None = None) -> ToolFailedError:
        """The error of the whole, honest about what was done before."""
        after = f"; done before, and not taken back: {', '.join(self.done)}" if self.done else ""
        return ToolFailedError(
            "failed" if code == "invalid" else code,  # pyright: ignore[reportArgumentType]
            f"{self.current}: {text}{after}",
            retry_after_seconds=None if error is None else error.detail.retry_after_seconds,
        )


class ComposedTool:
    """One entry with `steps`. `unavailable`: why it can't be called, if so."""

    def __init__(
        self,
        name: str,
        config: StepsConfig,
        tools: Mapping[str, DeclaredTool],
        kept: KeptAnswers | None = None,
    ) -> None:
        """`tools`: those that the steps name, at least."""
        self.config = config
        self.steps = [Step(each, tools[each.tool]) for each in config.steps]
        self._kept = kept
        self._arguments = ArgumentReader(config.parameters, config.required)
        self.unavailable = next(
            (each.tool.unavailable for each in self.steps if each.tool.unavailable), None
        )
        reads = not any(each.changes for each in self.steps)
        otherwise = f"Calls {', '.join(each.config.tool for each in self.steps)}, in this order."
        self.definition = types.Tool(
            name=name,
            title=config.title,
            description="\n\n".join(describe(config, self.unavailable, otherwise)),
            input_schema=self._arguments.schema,
            output_schema=ANSWER_SCHEMA,
            annotations=types.ToolAnnotations(
                read_only_hint=reads,
                destructive_hint=_find_destructive(self.steps),
                idempotent_hint=reads or None,
                open_world_hint=True,
            ),
            _meta={CONFIRM_META_KEY: True} if config.confirm or _asks(self.steps) else None,
        )

    def read(self, arguments: Mapping[str, object]) -> tuple[str, Known]:
        """The request's id, and what is known before the first step.

        Raises:
            ToolFailedError: An argument is wrong.
        """
        request_id, params = self._arguments.read(arguments)
        return str(request_id), {PARAMETERS: params}

    async def call(
        self, arguments: Mapping[str, object], transport: httpx2.AsyncBaseTransport, owner: str
    ) -> types.CallToolResult:
        """Take the steps for `owner`; the first that fails ends it.

        Raises:
            ToolFailedError: An argument is wrong, or a step failed: the text says which, and what
                had been done by then.
        """
        if self.unavailable:
            raise ToolFailedError("unavailable", self.unavailable)
        request_id, known = self.read(arguments)
        progress = _Progress(known)
        limit = self.config.timeout_seconds
        try:
            with anyio.fail_after(limit):
                value = await self._run(progress, request_id, transport, owner)
        except TimeoutError:
            unknown = "; whether it took effect is unknown" if progress.may_change else ""
            raise progress.fail("timeout", f"not over within {limit:g} seconds{unknown}") from None
        keep = None if self._kept is None else partial(self._kept.keep, owner, self.definition.name)
        return render_answer(value, keep)

    async def _run(
        self,
        progress: _Progress,
        request_id: str,
        transport: httpx2.AsyncBaseTransport,
        owner: str,
    ) -> object:
        value: object = None
        for number, step in enumerate(self.steps, 1):
            progress.current = f"step {number} ({step.config.label})"
            progress.may_change = False
            try:
                # in a thread: what came before may be large
                given = await anyio.to_thread.run_sync(step.fill, progress.known)
                value = None
                if given is not None:
                    progress.may_change = step.changes
                    named = _name(step, given, f"{request_id}-{number}")
                    result = await step.tool.call(named, transport, owner, is_step=True)
                    answer: Known = result.structured_content or {}
                    value = answer.get("result")
            except ToolFailedError as error:
                raise progress.fail(error.detail.code, error.detail.message, error) from None
            progress.known[step.config.label] = value
            if given is not None and step.changes:
                progress.done.append(step.config.label)
        if self.config.result is None:
            return value
        progress.current, progress.may_change = "result", False
        try:
            return await anyio.to_thread.run_sync(_search, self.config.result, progress.known)
        except ToolFailedError as error:
            raise progress.fail(error.detail.code, error.detail.message) from None


def _name(step: Step, given: dict[str, object], request_id: str) -> dict[str, object]:
    """The arguments with an id of the step's own, so that each attempt of it has the same."""
    if REQUEST_ID in step.tool.definition.input_schema["properties"] or REQUEST_ID in given:
        return given
    whole, _, number = request_id.rpartition("-")
    room = MAX_REQUEST_ID_CHARACTERS - _SUFFIX_CHARACTERS
    return {**given, REQUEST_ID: f"{whole[:room]}-{number}"}


def _fill(value: object, known: Known) -> object:
    match value:
        case str():
            expression = find_expression(value)
            return value if expression is None else _search(expression, known)
        case list():
            return [_fill(each, known) for each in cast("list[object]", value)]
        case dict():
            entries = cast("dict[str, object]", value)
            return {name: _fill(each, known) for name, each in entries.items()}
        case _:
            return value


def _search(expression: str, known: Known) -> object:
    try:
        return compile_selection(expression).search(known)
    except (ValueError, RecursionError):
        raise ToolFailedError(
            "failed", f"a function in {expression[:100]} got something else than it takes"
        ) from None


def _find_destructive(steps: Sequence[Step]) -> bool | None:
    hints = [each.tool.definition.annotations for each in steps]
    found = [None if each is None else each.destructive_hint for each in hints]
    if any(found):
        return True
    return False if all(each is False for each in found) else None


def _asks(steps: Sequence[Step]) -> bool:
    return any(CONFIRM_META_KEY in (each.tool.definition.meta or {}) for each in steps)
