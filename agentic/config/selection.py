"""JMESPath expressions: which part of an answer is the result."""

from typing import Protocol, cast


class Selection(Protocol):
    """A compiled expression."""

    def search(self, value: object) -> object:
        """What the expression finds in a JSON value, None if nothing.

        Raises:
            ValueError: A function in it does not take what it was given.
        """
        ...


def check_selection(text: str) -> str:
    """Return `text` if it is an expression.

    Raises:
        ValueError: As `compile_selection`.
    """
    compile_selection(text)
    return text


def compile_selection(text: str) -> Selection:
    """Compile an expression.

    Raises:
        ValueError: It is none; the text says where it goes wrong.
    """
    import jmespath  # needed by few declarations

    try:
        return cast("Selection", jmespath.compile(text))
    except ValueError as error:
        why = " ".join(str(error).splitlines()[0].split())
        raise ValueError(f"is no JMESPath expression: {why[:200]}") from None
    except RecursionError:
        raise ValueError("is no JMESPath expression: it is nested too deeply") from None
