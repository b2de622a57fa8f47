"""Which part of an answer is the result, and whether it is as declared."""

from itertools import islice

from agentic.config.json_schema import create_validator, describe_problem, iterate_problems
from agentic.config.selection import compile_selection
from agentic.config.tools import ToolConfig
from servers.tools.results import ToolFailedError
from servers.tools.untrusted_text import excerpt


class ResultReader:
    """`result` and `output` of a declaration."""

    def __init__(self, config: ToolConfig) -> None:
        self._selection = None if config.result is None else compile_selection(config.result)
        self._validator = None if config.output is None else create_validator(config.output)

    def select(self, answer: object) -> object:
        """The part that `result` names.

        Raises:
            ToolFailedError: The answer is not of a kind that the expression takes.
        """
        if self._selection is None:
            return answer
        try:
            return self._selection.search(answer)
        except (ValueError, RecursionError):
            raise ToolFailedError(
                "failed",
                "the endpoint's answer is not what the tool's result in mcp.yml selects from: a "
                "function in it got something else than it takes",
            ) from None

    def check(self, result: object) -> None:
        """Do nothing if the result fits `output`.

        Raises:
            ToolFailedError: It does not; names the first place.
        """
        if self._validator is None:
            return
        for error in islice(iterate_problems(self._validator, result), 1):
            steps = (
                f"[{each}]" if isinstance(each, int) else f".{each}" for each in error.absolute_path
            )
            place = excerpt(f"result{''.join(steps)}")
            raise ToolFailedError(
                "failed",
                f"the endpoint's answer is not as the tool's output in mcp.yml says: {place} "
                f"{excerpt(describe_problem(error))}",
            )

    def check_media(self, mime_type: str) -> None:
        """Do nothing unless `output` was declared, which bytes don't fit.

        Raises:
            ToolFailedError: It was.
        """
        if self._validator is not None:
            raise ToolFailedError(
                "failed",
                f"the endpoint answered with {mime_type}, and its output in mcp.yml wants JSON",
            )
