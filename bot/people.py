"""Who may talk: those of `bot.people`, and those who were paired with a code of the operator's."""

import logging
import re
from collections.abc import Mapping

import anyio

from bot import wording
from bot.arrivals import Arrival, CommandArrived, TextArrived
from bot.rates import Rates
from bot.store_patience import keep_trying
from client.conversations import ConversationCallError, ToolCaller
from client.hub.errors import HubError, UnknownToolError
from client.people import RemotePeople
from client.store_absence import STORE_SECONDS
from servers.access.contract import PAIRING_ALPHABET, PAIRING_GROUP_CHARACTERS, PAIRING_GROUPS

_GROUP = rf"[{PAIRING_ALPHABET}]{{{PAIRING_GROUP_CHARACTERS}}}"
_CODE = re.compile(rf"{_GROUP}(?:[\W_]?{_GROUP}){{{PAIRING_GROUPS - 1}}}", re.IGNORECASE | re.ASCII)
_PREFIX = "telegram:"
_TRUSTED_SECONDS = 5.0
"""For so long a paired person counts without the servers being asked again."""
_TRIES_OF_ONE = (5, 60.0)
_TRIES_OF_ALL = (20, 6.0)
_ALL = 0

logger = logging.getLogger(__name__)


class People:
    """Finds the owner that somebody on Telegram is, and takes new people in."""

    def __init__(
        self,
        hub: ToolCaller,
        configured: Mapping[str, str],
        *,
        trusted_seconds: float = _TRUSTED_SECONDS,
    ) -> None:
        """`configured`: Telegram user ids, as text, to owners."""
        self._remote = RemotePeople(hub)
        self._configured = configured
        self._paired: Mapping[str, str] = {}
        self._trusted_seconds = trusted_seconds
        self._loaded = anyio.Event()
        self._loaded_at = float("-inf")
        self._tries_of_one = Rates(*_TRIES_OF_ONE)
        self._tries_of_all = Rates(*_TRIES_OF_ALL)

    @property
    def owners(self) -> Mapping[str, str]:
        """Telegram user ids, as text, to owners, as far as is known."""
        return {**self._paired, **self._configured}

    async def load(self) -> None:
        """Find out who was paired before; waits for the servers."""
        await keep_trying(self._look_if_possible, "find out who was paired")
        self._loaded.set()
        for user_id, owner in self._paired.items():
            logger.warning("May talk to the bot, paired: %s as %s", user_id, owner)
        if not self.owners:
            logger.warning(
                "Nobody may talk to the bot yet: make a code with `agentic bot --pair`, or write "
                "to the bot, which tells you the id to put under bot: people: in mcp.yml."
            )

    async def find(self, user_id: int) -> str | None:
        """The owner they are, None for a stranger.

        Somebody who was paired is a stranger within five seconds of being removed, unless the
        servers can't say.
        """
        if (owner := self._configured.get(str(user_id))) is not None:
            return owner
        await self._loaded.wait()
        age = anyio.current_time() - self._loaded_at
        if str(user_id) in self._paired and age >= self._trusted_seconds:
            try:
                with anyio.fail_after(STORE_SECONDS):
                    await self._look()
            except (HubError, ConversationCallError, TimeoutError) as error:
                logger.info("Who was paired is not known for certain: %s", error)
        return self._paired.get(str(user_id))

    async def take_code(self, arrival: Arrival, *, is_known: bool) -> str | None:
        """What to say to somebody who gave a code; None if what they wrote is to be taken as such.

        Only so many are tried: the rest is nothing special. Of somebody known only the code is
        taken that made them so.
        """
        code = _find_code(arrival)
        if code is None or not isinstance(arrival, CommandArrived | TextArrived):
            return None
        origin = arrival.origin
        if self._tries_of_one.take(origin.user_id) or self._tries_of_all.take(_ALL):
            return None
        try:
            with anyio.fail_after(STORE_SECONDS):
                claim = await self._remote.claim(f"{_PREFIX}{origin.user_id}", code)
        except UnknownToolError:
            return None
        except (HubError, ConversationCallError, TimeoutError) as error:
            logger.warning("A code could not be tried: %s", error)
            return None if is_known else wording.CODE_NOT_TRIED
        match claim.outcome:
            case "paired" if claim.owner is not None:
                if not is_known:
                    logger.warning("Paired: %d is %s from now on", origin.user_id, claim.owner)
                self._paired = {**self._paired, str(origin.user_id): claim.owner}
                return wording.render_paired(origin.person, claim.owner)
            case "wrong" if claim.tries_left is not None:
                return wording.render_wrong_code(claim.tries_left)
            case "withdrawn":
                logger.warning("The code for pairing was withdrawn: too many wrong ones were tried")
                return wording.CODE_WITHDRAWN
            case _:
                return None if is_known else wording.NO_CODE_OPEN

    def was_paired(self, user_id: int) -> bool:
        """Whether they may talk because of a code, and not because of `bot.people`."""
        return str(user_id) in self._paired and str(user_id) not in self._configured

    async def _look_if_possible(self) -> None:
        try:
            await self._look()
        except UnknownToolError as error:  # of an older server
            logger.warning("Only bot.people may talk, since nobody can be paired: %s", error)

    async def _look(self) -> None:
        identities = await self._remote.list()
        self._paired = {
            each.identity.removeprefix(_PREFIX): each.owner
            for each in identities
            if each.identity.startswith(_PREFIX)
        }
        self._loaded_at = anyio.current_time()


def _find_code(arrival: Arrival) -> str | None:
    """What could be a code, written or in the link that the operator gave."""
    match arrival:
        case (
            TextArrived(text=text, is_forwarded=False) | CommandArrived(name="start", argument=text)
        ):
            return text.strip() if _CODE.fullmatch(text.strip()) else None
        case _:
            return None
