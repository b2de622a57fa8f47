"""A talk, turn after turn: it goes on whatever a turn or a server runs into."""

import re
import signal

import anyio

from agentic.cli.compose import SETTLE_SECONDS, Assistant
from agentic.cli.conversation_ids import create_id, render_id
from agentic.cli.screen import Screen, TurnView
from agentic.cli.server_states import render_status, render_tools
from agentic.cli.stopping import StoppedError
from agentic.cli.stored_times import render_time
from agentic.cli.terminal_text import one_line
from client.conversations import ConversationCallError
from client.coordinator.events import TurnFailed
from client.coordinator.request import TurnRequest
from client.hub.errors import HubError
from client.llm.protocol import ModelError

_COMMAND = re.compile(r"/(\w*)(?:[ \t]+(.*))?")
"""One line: what is pasted, and paths, are messages."""
_HELP = (
    "/new    begin a new conversation; this one is kept",
    "/tools  the servers and their tools",
    "/answer go on with a turn that stopped in front of a question",
    "/quit   leave (also Ctrl-D)",
    "Ctrl-C stops an answer, Alt-Enter begins a new line.",
    "`agentic conversations list` shows what is kept.",
)
_NAMES = ("/new", "/tools", "/answer", "/quit", "/help")


class Talk:
    """One person, one screen, one conversation at a time."""

    def __init__(
        self, assistant: Assistant, screen: Screen, conversation_id: str, told: list[str]
    ) -> None:
        """`told`: what became of what waited for the store; shown between turns, and taken out."""
        self._assistant = assistant
        self._screen = screen
        self._conversation_id = conversation_id
        self._turn: anyio.CancelScope | None = None
        self._absent: dict[str, str] = {}
        self._told = told
        self._interrupted = False
        self._failed = False

    async def run(self) -> bool:
        """Talk until the person leaves; whether every turn had a reply.

        Raises:
            StoppedError: Ctrl-C came as a signal while no turn ran.
        """
        name = one_line(render_id(self._conversation_id), 100)
        await self._screen.say([f"{self._assistant.model_name} · conversation {name} · /help"])
        async with anyio.create_task_group() as group:
            group.start_soon(self._listen_to_interrupts, group.cancel_scope)
            group.start_soon(self._greet)
            group.start_soon(self._follow_loading)
            while (line := await self._screen.next_line()) is not None:
                if not await self._take(line.strip()):
                    break
            group.cancel_scope.cancel()
        if self._interrupted:
            raise StoppedError(signal.SIGINT)
        return not self._failed

    async def _take(self, line: str) -> bool:
        """Do what the line says; False: leave."""
        command = _COMMAND.fullmatch(line)
        if command is None:
            if line:
                await self._answer(line)
            return True
        match command[1].lower():
            case name if command[2] and f"/{name}" in _NAMES:
                await self._screen.say(
                    [f"/{name} takes nothing after it. Not sent: {one_line(line, 100)}"]
                )
            case "quit":
                return False
            case "new":
                self._conversation_id = create_id("chat")
                await self._screen.say([f"A new conversation: {self._conversation_id}"])
            case "answer":
                await self._take_up_question()
            case "tools":
                await self._screen.say(render_tools(self._assistant.hub, offered_only=True))
            case "help":
                await self._screen.say(_HELP)
            case _:
                await self._screen.say([f"There is no command {one_line(line, 100)}", *_HELP])
        return True

    async def _answer(self, prompt: str, *, taken_up: str | None = None) -> None:
        """Answer the message, or go on with the turn of one that is stored."""
        request = TurnRequest(
            self._conversation_id, prompt, message_id=taken_up, stored=taken_up is not None
        )
        with anyio.CancelScope() as self._turn:
            async with self._screen.open_turn() as view:
                # A server that is still starting would be missing among the tools.
                await self._assistant.hub.wait_settled(SETTLE_SECONDS)
                if await self._wait_for_model(view):
                    await self._run_turn(request, view)
        if self._turn.cancelled_caught:
            await self._screen.say(["Stopped.", *self._describe_loading()])
        self._turn = None
        await self._screen.say(self._changes())

    async def _take_up_question(self) -> None:
        try:
            turn_id = await self._assistant.coordinator.find_open_question(self._conversation_id)
        except (HubError, ConversationCallError) as error:
            await self._screen.say([f"The conversation can't be read: {one_line(str(error))}"])
            return
        if turn_id is None:
            await self._screen.say(["No question is open here."])
            return
        await self._answer("", taken_up=turn_id)

    async def _run_turn(self, request: TurnRequest, view: TurnView) -> None:
        async with self._assistant.coordinator.stream(request) as events:
            async for event in events:
                view.show(event)
                self._failed |= isinstance(event, TurnFailed)

    async def _wait_for_model(self, view: TurnView) -> bool:
        """Wait however long it takes to get and start it; False: it can't be had."""
        loading = self._assistant.loading
        try:
            if loading is not None:
                await loading.wait(view.wait)
        except ModelError:
            self._failed = True
            await self._screen.say(self._describe_loading())
            return False
        return True

    async def _follow_loading(self) -> None:
        """Say that a model is on its way, and when it is there or has failed."""
        loading = self._assistant.loading
        if loading is None:
            return
        await self._screen.say(["The model is being loaded; /help and /tools answer meanwhile."])
        try:
            await loading.wait()
        except ModelError as error:
            if self._turn is None:
                await self._screen.say([str(error)])
        else:
            await self._screen.say(["The model is ready."])

    def _describe_loading(self) -> list[str]:
        """What there is to say about a model that isn't there."""
        loading = self._assistant.loading
        if loading is None or loading.is_ready:
            return []
        if loading.failure:
            return [f"The message was not sent. {loading.failure}"]
        return [
            f"The message was not sent: {loading.state}. This goes on; write again when it is "
            "there. If you leave, what has come is kept, and the next start goes on."
        ]

    async def _greet(self) -> None:
        """Say how long the conversation is and which servers are missing, once that is known."""
        conversation_id = self._conversation_id
        await self._assistant.hub.wait_settled(SETTLE_SECONDS)
        lines = self._changes()
        try:
            earlier = await self._assistant.store.get_conversation(conversation_id)
            open_turn = await self._assistant.coordinator.find_open_question(conversation_id)
        except (HubError, ConversationCallError):
            pass  # there is none, or its server is among the missing
        else:
            count = earlier.message_count
            when = render_time(earlier.last_updated)
            messages = "message" if count == 1 else "messages"
            lines.append(f"{count} earlier {messages}, the last on {when}; /new starts afresh.")
            if open_turn is not None:
                lines.append("A question is still open here: /answer asks it again.")
        await self._screen.say(lines)

    def _changes(self) -> list[str]:
        """What is different about servers and spool since this was last told."""
        states = self._assistant.hub.status()
        absent = {state.name: render_status(state) for state in states if state.state != "ready"}
        back = [render_status(s) for s in states if s.name in self._absent and s.name not in absent]
        gone = [line for name, line in absent.items() if name not in self._absent]
        self._absent = absent
        told = [one_line(line, 1_000) for line in self._told]
        self._told.clear()
        return [*gone, *back, *told]

    async def _listen_to_interrupts(self, whole: anyio.CancelScope) -> None:
        """Ctrl-C stops the turn, or on some screens the talk."""
        with anyio.open_signal_receiver(signal.SIGINT) as arriving:
            async for _ in arriving:
                if self._turn is not None:
                    self._turn.cancel()
                elif self._screen.interrupt_leaves:
                    self._interrupted = True
                    whole.cancel()
