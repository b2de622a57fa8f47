"""The token that the servers make for the bot at their first start, handed over as a file."""

from pathlib import Path

from agentic.config.findings import ConfigError
from agentic.config.private_files import read_private_text, write_private_text
from servers.access.contract import SCOPES
from servers.access.tokens import TokenFile, TokenVerifier

DELEGATE_NAME = "bot"


def ensure_delegate_token(handed_over: Path, tokens_file: Path, owner: str) -> None:
    """See to it that `handed_over` holds a token for a delegate, known in `tokens_file`.

    Raises:
        ConfigError: One of the files can't be read or written.
    """

    def is_there() -> bool:
        principal = TokenVerifier(tokens_file).verify(_read(handed_over))
        return principal is not None and principal.scopes >= SCOPES.keys()

    def hand_over(text: str) -> None:
        write_private_text(handed_over, text + "\n")

    if not is_there():
        # Another server may have done it in the meantime, and its client read it already.
        TokenFile(tokens_file).renew(DELEGATE_NAME, owner, SCOPES, hand_over, unless=is_there)


def _read(handed_over: Path) -> str:
    try:
        return read_private_text(handed_over)
    except ConfigError:
        return ""  # what can't be read can perhaps be replaced; if not, that error tells
