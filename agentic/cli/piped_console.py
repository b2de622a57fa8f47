"""A console whose reader may stop reading."""

from rich.console import Console


class PipedConsole(Console):
    """Whoever stops reading ends the command in the usual way, and not from within a print."""

    def __init__(self) -> None:
        super().__init__(highlight=False, soft_wrap=True)

    def on_broken_pipe(self) -> None:
        """Say it by an error, where rich would leave the program."""
        raise BrokenPipeError
