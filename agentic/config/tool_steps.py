"""A tool of several steps, each a call of another tool of the file."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, Field, JsonValue, field_validator, model_validator

from agentic.config.findings import WrongFieldError
from agentic.config.frozen import Frozen
from agentic.config.selection import check_selection, compile_selection
from agentic.config.tool_parameters import (
    ParameterConfig,
    check_examples,
    check_parameters,
)
from agentic.config.tools import ToolConfig

STEPS = "steps"
"""The key by which an entry under `tools:` is one of steps."""
PARAMETERS = "parameters"
"""What expressions know the tool's own arguments by."""
_MAX_STEPS = 10
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
Expression = Annotated[str, AfterValidator(check_selection)]


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("has 1 to 64 of a-z, A-Z, 0-9 and '_', as expressions want it")
    return name


def find_expression(text: str) -> str | None:
    """The JMESPath in `= book.id`; None: the text means itself."""
    return text[1:].strip() if text.startswith("=") else None


class StepConfig(Frozen):
    """One call."""

    tool: str
    """Another tool of the file, which is no tool of steps itself."""
    name: Annotated[str, AfterValidator(_check_name)] | None = None
    """What later steps know the result by. Absent: the tool's name."""
    arguments: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue])
    """As they are, but for texts that begin with =: the rest is JMESPath."""
    when: Expression | None = None
    """JMESPath: the step is left out where this gives nothing, false, or what is empty."""

    @property
    def label(self) -> str:
        """`name`, or the tool's."""
        return self.name or self.tool

    @field_validator("arguments")
    @classmethod
    def _check_arguments(cls, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for name, value in arguments.items():
            for text in _iterate_texts(value):
                expression = find_expression(text)
                if expression is not None:
                    try:
                        compile_selection(expression)
                    except ValueError as error:
                        raise ValueError(f"{name} {error}") from None
        return arguments


class StepsConfig(Frozen):
    """An entry under `tools:` that calls others, one after the other."""

    steps: list[StepConfig] = Field(min_length=1, max_length=_MAX_STEPS)
    description: str = ""
    title: str | None = None
    parameters: dict[str, ParameterConfig] = Field(default_factory=dict[str, ParameterConfig])
    required: list[str] | None = None
    """Absent: the parameters without a default."""
    timeout_seconds: float = Field(default=60.0, gt=0, le=600, alias="timeout")
    """Of all steps together."""
    result: Expression | None = None
    """JMESPath over all results. Absent: the last step's."""
    examples: list[dict[str, JsonValue]] = Field(
        default_factory=list[dict[str, JsonValue]], max_length=10
    )
    confirm: bool = False
    """Each call waits for a person's consent; it does, too, if one of its tools does so."""
    missing_variables: tuple[str, ...] = Field(default=(), exclude=True)

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        check_parameters(self.parameters, self.required)
        check_examples(self.examples, self.parameters, self.required)
        labels = [PARAMETERS]
        for at, step in enumerate(self.steps):
            if step.label in labels:
                raise WrongFieldError(
                    (STEPS, at), f"is known as {step.label}, and so is another; give it a name"
                )
            labels.append(step.label)
        return self


def check_steps(
    composed: Mapping[str, StepsConfig], tools: Mapping[str, ToolConfig]
) -> Iterator[tuple[str, WrongFieldError]]:
    """What is wrong with tools of steps in the company of the other tools, by their names."""
    for name, config in composed.items():
        for at, step in enumerate(config.steps):
            if step.tool in tools:
                continue
            why = "is a tool of steps itself" if step.tool in composed else "is no tool of the file"
            yield name, WrongFieldError((STEPS, at, "tool"), f"{step.tool} {why}")
            break


def list_expressions(step: StepConfig) -> list[str]:
    """All that is evaluated before the step is taken."""
    texts = (text for each in step.arguments.values() for text in _iterate_texts(each))
    return [each for each in (step.when, *map(find_expression, texts)) if each is not None]


def _iterate_texts(value: JsonValue) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for each in value:
                yield from _iterate_texts(each)
        case dict():
            for each in value.values():
                yield from _iterate_texts(each)
        case _:
            return
