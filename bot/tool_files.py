"""What tools returned in a turn, found behind MCP and made ready to be sent behind its reply."""

from dataclasses import replace
from functools import partial

from bot import wording
from bot.deliveries import StoredMessage, load_message, load_turn
from bot.media import ToolFile, UnreadableError
from bot.rendering import Part
from bot.store_patience import keep_trying
from client.attachments import ToolsAndResources
from client.conversations import ConversationCallError
from client.hub.errors import HubError, ServerUnavailableError
from client.spool.spool import Spool
from client.store_absence import try_for
from client.turn_files import InMessage, TurnFile, find_files, read_attached, read_held
from servers.conversations.contract import Message

_MAX_FILES = 30
"""Of one turn."""
_READ_SECONDS = 60.0


class ToolFiles:
    """The files of turns."""

    def __init__(self, hub: ToolsAndResources, spool: Spool) -> None:
        self._hub = hub
        self._spool = spool

    async def find(self, where: StoredMessage) -> list[Part]:
        """Those of the turn of this message, in order: the same ones whenever this is asked.

        Waits for the store.
        """

        async def load() -> list[Message]:
            await self._spool.replay(where.owner, where.conversation_id)
            return await load_turn(self._hub, where)

        files = find_files(await keep_trying(load, "look for files"), where.turn_id)
        parts = [
            Part("", returned=ToolFile(file.name, file.title, partial(self._read, where, file)))
            for file in files[:_MAX_FILES]
        ]
        if len(files) > _MAX_FILES:
            parts.append(Part(wording.render_left_out(len(files) - _MAX_FILES)))
        return parts

    async def _read(self, where: StoredMessage, file: TurnFile) -> bytes:
        """Waits for a store that is away."""

        async def read() -> bytes:
            try:
                return await try_for(
                    _READ_SECONDS,
                    partial(self._read_once, where, file),
                    retry_seconds=_READ_SECONDS,
                )
            except ServerUnavailableError:
                raise
            except (HubError, ConversationCallError, ValueError) as error:
                raise UnreadableError(f"{file.name} of {where}: {error}") from None

        return await keep_trying(read, "read a file")

    async def _read_once(self, where: StoredMessage, file: TurnFile) -> bytes:
        if not isinstance(file.place, InMessage):
            return await read_attached(self._hub, where.owner, file.place)
        holder = replace(where, message_id=file.place.message_id)
        message = await load_message(self._hub, holder)
        if message is None:
            raise ValueError("its message is gone")
        return read_held(message, file.place.number)
