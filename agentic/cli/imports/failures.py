"""What keeps a file from being read on."""

from agentic.cli.failures import CommandError


class BrokenFileError(CommandError):
    """From here on the file can't be read. The text says where and why."""


class UnreadablePieceError(Exception):
    """One piece of the file can't be used; the next ones can. The text is the reason to count."""
