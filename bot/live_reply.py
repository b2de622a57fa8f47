"""Shows a reply in its chat while it grows: a first message soon, then changes to it.

What is shown is a draft. Its messages become the reply's, so their ids are kept before anything
else can happen to the turn; from the moment one goes out until its id is kept, that is known too.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio
from anyio.to_thread import run_sync

from bot import wording
from bot.deliveries import DeliveryFacts
from bot.post import Post, Sent, Uncertain
from bot.rendering import Button, Part, render_parts
from client.coordinator.events import StepFinished, ToolFinished, ToolStarted, TurnEvent
from client.llm.protocol import TextDelta

_FIRST_SECONDS = 0.7
_FIRST_CHARACTERS = 60
_GATHERING_SECONDS = 0.15
"""A reply that is whole by then is sent once, and needs no change."""
_SECONDS_BETWEEN = 1.0
_REQUEST_SECONDS = 5.0
"""How long a stopping bot waits to hear whether a draft has arrived."""

logger = logging.getLogger(__name__)

Keep = Callable[[DeliveryFacts], Awaitable[None]]


class LiveReply:
    """One reply while it grows."""

    def __init__(
        self,
        post: Post,
        facts: DeliveryFacts,
        reply_to: int | None,
        keep: Keep,
        *,
        stop: Button,
    ) -> None:
        """`facts`: of the user message; may tell of drafts that an earlier start has shown.

        `stop` is shown below the last draft.
        """
        self.facts = facts
        """With the drafts there are now."""
        self._post = post
        self._reply_to = reply_to
        self._keep = keep
        self._stop = stop
        self.shown: dict[int, Part] = {}
        """What Telegram shows, by its ids of messages."""
        self.text = ""
        """Of the step that runs, in Markdown."""
        self._running: dict[str, str] = {}
        self._uses_tools = False
        """Since the latest step asked for some, until the next one says something."""
        self._changed = anyio.Event()
        self._ending = anyio.CancelScope()

    def feed(self, event: TurnEvent) -> None:
        """Take in what happens in the turn. Never waits."""
        match event:
            case TextDelta(text):
                if self._uses_tools:
                    self.text, self._uses_tools = "", False  # the reply is the last step's text
                self.text += text
            case StepFinished(has_tool_calls=True):
                self._uses_tools = True
            case ToolStarted(call_id, tool):
                self._running[call_id] = tool
            case ToolFinished(call_id):
                self._running.pop(call_id, None)
            case _:
                return
        self._changed.set()

    async def run(self) -> None:
        """Show what there is, at most as often as Telegram likes, until `finish`."""
        with self._ending:
            await self._changed.wait()
            with anyio.move_on_after(_FIRST_SECONDS):
                while len(self.text) < _FIRST_CHARACTERS and not self.facts.drafts:
                    self._changed = anyio.Event()
                    await self._changed.wait()
            await anyio.sleep(_GATHERING_SECONDS)
            while not self.facts.drafting:
                self._changed = anyio.Event()
                if not await self._update():
                    break
                await anyio.sleep(_SECONDS_BETWEEN)
                await self._changed.wait()

    def finish(self) -> None:
        """Show no more; what is on its way to Telegram is waited for by whoever waits for `run`."""
        self._ending.cancel()

    async def _update(self) -> bool:
        """Bring the chat to what there is now; False if there is no use in trying again."""
        status = wording.render_status(self._running.values()) if self._uses_tools else ""
        rendered = await run_sync(render_parts, "\n\n".join(filter(None, (self.text, status))))
        parts = [part for part in rendered if part.file is None]  # files when they are whole
        if parts:
            parts[-1] = replace(parts[-1], buttons=((self._stop,),))
        for index, part in enumerate(parts):
            drafts = self.facts.drafts
            if index >= len(drafts):
                is_shown = await self._begin(part)
            else:
                is_shown = await self._change(drafts[index], part)
            if not is_shown:
                return False
        return True

    async def _change(self, message_id: int, part: Part) -> bool:
        if self.shown.get(message_id) == part:
            return True
        await self._post.wait_for_turn(self.facts.chat_id, change=True)
        self.shown.pop(message_id, None)
        outcome = await self._post.change(self.facts.chat_id, message_id, part, patient=False)
        if not isinstance(outcome, Sent):
            logger.info("A reply is not shown while it grows: %s", outcome.reason)
            return False
        self.shown[message_id] = part
        return True

    async def _begin(self, part: Part) -> bool:
        """Send one more message of the draft."""
        await self._post.wait_for_turn(self.facts.chat_id, change=True)
        # A turn that ends meanwhile has to know what became of it.
        with anyio.move_on_after(_REQUEST_SECONDS, shield=True):
            await self._note(drafting=True)
            reply_to = None if self.facts.drafts else self._reply_to
            outcome = await self._post.send(self.facts.chat_id, part, reply_to, patient=False)
            match outcome:
                case Sent(message_id):
                    self.shown[message_id] = part
                    await self._note(drafts=(*self.facts.drafts, message_id), drafting=False)
                    return True
                case Uncertain():
                    pass
                case _:
                    await self._note(drafting=False)
            logger.info("A reply is not shown while it grows: %s", outcome.reason)
        return False

    async def _note(self, **changes: object) -> None:
        self.facts = self.facts.moved(self.facts.state, **changes)
        await self._keep(self.facts)
