"""A Telegram Bot API server on loopback, as strict as the real one, with a test's hands on it.

    async with open_bot_api(TOKEN) as api:      # point the bot at api.base_url
        ada = api.person(42)
        update = ada.writes("hello")            # the bot gets it by getUpdates or webhook
        (reply,) = await api.wait_for_message(42)
        ada.presses(reply, "Yes")

Bots speak HTTP to it: query, form, JSON or multipart. Errors have the codes and words of the real
server. What the real one would swallow in silence (an unknown parameter, an entity that is dropped,
the 101st entity) is refused and makes `open_bot_api` raise at its end: see `mistakes`.

People (`person`) write, edit, press, react, block and leave; `happens` is for updates of any other
kind, `repeat` for one that comes again. `fail_next` makes the next calls of a method meet faults:
connections dropped before or after, any status, no JSON, held until released; updates doubled or
out of order. `choose_fault` does so for every call, by what it asks. `pace` is flood control. Tests
wait by `wait_for_…` and `until`, never by time.

Not here: what needs more than a chat and a bot (inline queries, payments, stickers, games, polls,
business accounts, groups' administration). Such a method is a mistake until somebody adds it.
"""

import re
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio

from tests.fakes.telegram import faults
from tests.fakes.telegram.answers import error_answer, read_request
from tests.fakes.telegram.chats import BOT, Chats, Message
from tests.fakes.telegram.files import Files
from tests.fakes.telegram.forms import Upload
from tests.fakes.telegram.handlers import collect_handlers
from tests.fakes.telegram.http import ConnectionDropped, HttpAnswer, HttpRequest, open_http_server
from tests.fakes.telegram.keyboards import Callbacks
from tests.fakes.telegram.menus import Menus
from tests.fakes.telegram.pace import Pace
from tests.fakes.telegram.people import Person
from tests.fakes.telegram.refusals import MisusedError, RefusedError, misused
from tests.fakes.telegram.sending import Sending
from tests.fakes.telegram.updates import Update, Updates
from tests.fakes.telegram.webhook import Pusher

ResultT = TypeVar("ResultT")

_METHOD = re.compile(r"/bot([^/]*)/([A-Za-z]+)")
_FILE = re.compile(r"/file/bot([^/]*)/(.+)")
_TOKEN = re.compile(r"\d+:[A-Za-z0-9_-]+")
_PACED = re.compile(r"(send(?!ChatAction|MessageDraft)|editMessage|copyMessage|forwardMessage)\w*")
_MAX_CALLS = 200_000


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it came, and the status it was answered with (0: dropped)."""

    method: str
    parameters: dict[str, Any]
    status: int


class FakeBotApi:
    """The server's state, with the hands of a test on it. Made by `open_bot_api`."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.base_url = ""
        self.calls: list[Call] = []
        self.mistakes: list[str] = []
        """What the bot asked for that the real server would have done otherwise, in silence."""
        self.pace: Pace | None = None
        self.choose_fault: Callable[[str, Mapping[str, Any]], faults.Fault | None] = (
            lambda method, parameters: None
        )
        """What a call meets for which `fail_next` ordered nothing; not for wrong ones."""
        self.chats = Chats()
        self.files = Files()
        self.menus = Menus()
        self.callbacks = Callbacks()
        self.updates = Updates(lambda: self._changed, self._notify)
        self._people: dict[int, Person] = {}
        self._faults: defaultdict[str, deque[faults.Fault]] = defaultdict(deque)
        self._changed = anyio.Event()
        self._pusher = Pusher(self.updates, lambda: self._changed)
        self._handlers = collect_handlers(
            Sending(self.chats, self.files),
            chats=self.chats,
            files=self.files,
            menus=self.menus,
            callbacks=self.callbacks,
            updates=self.updates,
        )

    # What people do

    def person(self, user_id: int, name: str = "Ada") -> Person:
        """Somebody, the same at each call."""
        if user_id not in self._people:
            self._people[user_id] = Person(
                user_id,
                name,
                chats=self.chats,
                updates=self.updates,
                files=self.files,
                callbacks=self.callbacks,
            )
        return self._people[user_id]

    def user_says(
        self, chat_id: int, text: str, user_id: int | None = None, **fields: Any
    ) -> Update:
        """A text in a private chat (or in a group, where `chat_id` is negative)."""
        sender = self.person(chat_id if user_id is None else user_id)
        return sender.writes(text, chat_id=chat_id, **fields)

    def user_sends(self, chat_id: int, user_id: int | None = None, **fields: Any) -> Update:
        """A message of any kind: `voice={…}`, `photo=[…]`, `caption=…`."""
        sender = self.person(chat_id if user_id is None else user_id)
        return sender.sends(chat_id=chat_id, **fields)

    def happens(self, update: Mapping[str, Any]) -> Update:
        """An update of any kind; a new id is made unless it has one."""
        if "message" in update:
            self.chats.get_or_make(update["message"]["chat"]["id"])
        return self.updates.add(update)

    def repeat(self, update: Update) -> None:
        """The same update once more, same id, though it may have been confirmed."""
        self.updates.repeat(update)

    def fail_next(self, method: str, *wanted: faults.Fault) -> None:
        """The next calls of `method` meet these faults, one each."""
        self._faults[method].extend(wanted)

    # What a test sees

    def messages(self, chat_id: int) -> list[Message]:
        """What the bot sent to a chat and stands there still, in order."""
        chat = self.chats.get_or_make(chat_id)
        return [m for m in chat.messages.values() if m["from"]["id"] == BOT["id"]]

    def calls_of(self, method: str) -> list[Call]:
        """The calls of one method, in order of their answers."""
        return [call for call in self.calls if call.method == method]

    @property
    def refusals(self) -> list[Call]:
        """Calls that were the bot's own fault."""
        return [call for call in self.calls if call.status in (400, 404)]

    @property
    def commands(self) -> list[dict[str, str]]:
        """The menu of commands that everybody sees."""
        return self.menus.default

    @property
    def confirmed(self) -> int:
        """Every update with a smaller id has been confirmed."""
        return self.updates.confirmed

    @property
    def is_polled(self) -> bool:
        """Whether a poll is being held."""
        return self.updates.is_polled

    async def wait_for_message(self, chat_id: int, n: int = 1) -> list[Message]:
        """Wait until the bot sent `n` messages to a chat; all of them so far."""
        return await self.until(
            lambda: messages if len(messages := self.messages(chat_id)) >= n else None
        )

    async def wait_for_call(self, method: str, n: int = 1) -> list[Call]:
        """Wait until `n` calls of a method were answered."""
        return await self.until(lambda: calls if len(calls := self.calls_of(method)) >= n else None)

    async def wait_until_confirmed(self, update: Update) -> None:
        """Wait until a `getUpdates` named an offset beyond the update, or a webhook took it."""
        await self.until(lambda: self.confirmed > update["update_id"] or None)

    async def until(self, look: Callable[[], ResultT | None]) -> ResultT:
        """Wait until `look` finds something."""
        while (found := look()) is None:
            await self._changed.wait()
        return found

    # What the bot meets

    async def push_updates(self) -> None:
        """Push to the webhook, if one is set, until cancelled."""
        await self._pusher.run()

    async def handle(self, request: HttpRequest) -> HttpAnswer:
        """Answer one request."""
        if (match := _FILE.fullmatch(request.path)) is not None:
            return self._download(match[1], match[2])
        match = _METHOD.fullmatch(request.path)
        method = match[2] if match else request.path
        parameters: dict[str, Any] = {}
        status = 0
        try:
            if len(self.calls) >= _MAX_CALLS:
                raise RefusedError(500, "Internal Server Error: the fake takes no more calls")
            fault = self._faults[method].popleft() if self._faults[method] else None
            self._check_token(match[1] if match else "")
            method, parameters, uploads = read_request(method, request)
            fault = fault or self.choose_fault(method, parameters)
            answer = await self._answer_or_fail(method, parameters, uploads, fault)
            status = answer.status
        except RefusedError as refusal:
            status = refusal.status
            if isinstance(refusal, MisusedError):
                self.mistakes.append(f"{method}: {refusal.description}")
            answer = error_answer(refusal.status, refusal.description, refusal.parameters)
        finally:
            self.calls.append(Call(method, parameters, status))
            self._notify()
        return answer

    def _check_token(self, token: str) -> None:
        if not _TOKEN.fullmatch(token):
            raise RefusedError(404, "Not Found")
        if token != self.token:
            raise RefusedError(401, "Unauthorized")

    def _download(self, token: str, path: str) -> HttpAnswer:
        file = self.files.at_path(path) if token == self.token else None
        if file is None:
            return error_answer(404, "Not Found", {})
        return HttpAnswer(200, raw=file.data, content_type=file.mime_type)

    async def _answer_or_fail(
        self,
        method: str,
        parameters: dict[str, Any],
        uploads: Mapping[str, Upload],
        fault: faults.Fault | None,
    ) -> HttpAnswer:
        match fault:
            case faults.DropBefore():
                raise ConnectionDropped
            case faults.Status():
                return error_answer(fault.status, fault.description, fault.parameters)
            case faults.Garbage():
                return HttpAnswer(200, raw=b"<html>Bad gateway</html>")
            case faults.Hang():
                fault.reached.set()
                await fault.release.wait()
            case _:
                pass
        result = await self._do(method, parameters, uploads)
        match fault:
            case faults.DropAfter():
                raise ConnectionDropped
            case faults.Twice():
                result = [update for update in result for _ in range(2)]
            case faults.Reversed():
                result = result[::-1]
            case _:
                pass
        return HttpAnswer(200, {"ok": True, "result": result})

    async def _do(
        self, method: str, parameters: dict[str, Any], uploads: Mapping[str, Upload]
    ) -> Any:
        if method == "getUpdates":
            return await self.updates.poll(parameters)
        if method not in self._handlers:
            raise misused(f"the fake can't do {method}")
        if self.pace is not None and _PACED.fullmatch(method):
            self.pace.check(parameters)
        return self._handlers[method](parameters, uploads)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


@asynccontextmanager
async def open_bot_api(
    token: str, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncGenerator[FakeBotApi]:
    """Serve, on loopback if not told otherwise, until the context is left.

    Raises:
        AssertionError: At the end, when the bot made mistakes that are not in `refusals` only.
    """
    api = FakeBotApi(token)
    async with open_http_server(api.handle, port, host) as base_url:
        api.base_url = base_url
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(api.push_updates)
            yield api
            tasks.cancel_scope.cancel()
    assert not api.mistakes, f"the bot broke the Bot API's rules: {api.mistakes}"
