"""The token that the servers make for the bot at their first start, handed over as a file."""

from pathlib import Path

from anyio import to_thread

from agentic.config.findings import ConfigError
from agentic.config.private_files import read_private_text, write_private_text
from servers.access.contract import SCOPES
from servers.access.place_lock import hold_place
from servers.access.token_store import Tokens
from servers.access.verifier import TokenVerifier

DELEGATE_NAME = "bot"


async def ensure_delegate_token(
    handed_over: Path, tokens: Tokens, owner: str, name: str = DELEGATE_NAME
) -> None:
    """See to it that `handed_over` holds a token for a delegate, which `tokens` know by `name`.

    Raises:
        ConfigError: The file, or the tokens, can't be read or written.
    """

    async def is_there() -> bool:
        text = await to_thread.run_sync(_read, handed_over)
        principal = await TokenVerifier(tokens).verify(text)
        return principal is not None and principal.scopes >= SCOPES.keys()

    async def hand_over(text: str) -> None:
        await to_thread.run_sync(write_private_text, handed_over, text + "\n")

    if await is_there():
        return
    async with hold_place(handed_over):
        # Another server may have done it in the meantime, and its client read it already.
        if not await is_there():
            await tokens.renew(name, owner, SCOPES, hand_over)


def _read(handed_over: Path) -> str:
    try:
        return read_private_text(handed_over)
    except ConfigError:
        return ""  # what can't be read can perhaps be replaced; if not, that error tells
