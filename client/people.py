"""Who was paired with which owner, as the conversation server keeps it: for a delegate."""

from client.conversations import ToolCaller, call_for_result
from client.store_absence import STORE_SECONDS
from servers.access.contract import (
    ClaimResult,
    IdentitiesResult,
    Identity,
    PairingResult,
    RemoveIdentityResult,
)


class RemotePeople:
    """The server's verbs; they raise `ConversationCallError` and `HubError` as a store's do."""

    def __init__(self, hub: ToolCaller, server: str = "conversations") -> None:
        self._hub = hub
        self._server = server

    async def open_pairing(self, owner: str) -> PairingResult:
        """A new code; who gives it first is this owner."""
        return await call_for_result(
            self._hub,
            self._server,
            "open_pairing",
            {"owner": owner},
            PairingResult,
            timeout_seconds=STORE_SECONDS,
        )

    async def claim(self, identity: str, code: str) -> ClaimResult:
        """Give a code."""
        return await call_for_result(
            self._hub,
            self._server,
            "claim_pairing",
            {"identity": identity, "code": code},
            ClaimResult,
            timeout_seconds=STORE_SECONDS,
        )

    async def list(self) -> list[Identity]:
        """All, the first one first."""
        result = await call_for_result(
            self._hub,
            self._server,
            "list_identities",
            {},
            IdentitiesResult,
            timeout_seconds=STORE_SECONDS,
        )
        return result.identities

    async def remove(self, identity: str) -> bool:
        """Undo a pairing; whether there was one."""
        result = await call_for_result(
            self._hub,
            self._server,
            "remove_identity",
            {"identity": identity},
            RemoveIdentityResult,
            timeout_seconds=STORE_SECONDS,
        )
        return result.removed
