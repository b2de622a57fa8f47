"""A small Telegram Bot API server on loopback: strict about what it knows, faulty on demand."""

import itertools
import re
import time
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio

from tests.fakes.bot_api_http import (
    ConnectionDropped,
    HttpAnswer,
    HttpRequest,
    open_http_server,
)
from tests.fakes.bot_api_rules import (
    PARAMETERS,
    RefusedError,
    bad_request,
    check_action,
    check_commands,
    check_text,
    parse_parameters,
)

ResultT = TypeVar("ResultT")

_PATH = re.compile(r"/bot([^/]*)/([A-Za-z]+)")
_TOKEN = re.compile(r"\d+:[A-Za-z0-9_-]+")
_BOT = {
    "id": 7_000_000_001,
    "is_bot": True,
    "first_name": "Agentic",
    "username": "agentic_bot",
    "can_join_groups": True,
    "can_read_all_group_messages": False,
    "supports_inline_queries": False,
}


@dataclass(frozen=True, slots=True)
class DropBefore:
    """Closes the connection without doing anything."""


@dataclass(frozen=True, slots=True)
class DropAfter:
    """Does what was asked, then closes the connection without an answer."""


@dataclass(frozen=True, slots=True)
class Status:
    """Answers with this error and does nothing."""

    status: int
    description: str
    parameters: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Garbage:
    """Answers 200 with something that is no JSON, and does nothing."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Holds the request until released, then treats it as usual. `reached`: it came."""

    reached: anyio.Event = field(default_factory=anyio.Event)
    release: anyio.Event = field(default_factory=anyio.Event)


Fault = DropBefore | DropAfter | Status | Garbage | Hang

SERVER_ERROR = Status(500, "Internal Server Error")
CONFLICT = Status(
    409,
    "Conflict: terminated by other getUpdates request; "
    "make sure that only one bot instance is running",
)


def too_many_requests(retry_after: int) -> Status:
    """Flood control."""
    return Status(
        429, f"Too Many Requests: retry after {retry_after}", {"retry_after": retry_after}
    )


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
        self.commands: list[dict[str, str]] = []
        self.confirmed = 0
        """Every update with a smaller id has been confirmed."""
        self.blocked: set[int] = set()
        """Chats whose person blocked the bot."""
        self._faults: dict[str, deque[Fault]] = defaultdict(deque)
        self._updates: list[dict[str, Any]] = []
        self._update_ids = itertools.count(1_000)
        self._message_ids = itertools.count(1)
        self._messages: dict[int, list[dict[str, Any]]] = defaultdict(list)
        self._poller: anyio.CancelScope | None = None
        self._changed = anyio.Event()

    # What people do

    def user_says(
        self, chat_id: int, text: str, user_id: int | None = None, **fields: Any
    ) -> dict[str, Any]:
        """A text in a private chat (or in a group, where `chat_id` is negative)."""
        return self.user_sends(chat_id, user_id, text=text, **fields)

    def user_sends(self, chat_id: int, user_id: int | None = None, **fields: Any) -> dict[str, Any]:
        """A message of any kind: `voice={…}`, `photo=[…]`, `caption=…`."""
        sender = chat_id if user_id is None else user_id
        private = {"id": chat_id, "type": "private", "first_name": "Ada"}
        group = {"id": chat_id, "type": "supergroup", "title": "Friends"}
        message = {
            "message_id": next(self._message_ids),
            "date": int(time.time()),
            "chat": private if chat_id > 0 else group,
            "from": {"id": sender, "is_bot": False, "first_name": "Ada", "language_code": "en"},
            **fields,
        }
        return self.happens({"message": message})

    def happens(self, update: dict[str, Any]) -> dict[str, Any]:
        """An update of any kind; a new id is made unless it has one."""
        whole: dict[str, Any] = {"update_id": next(self._update_ids), **update}
        if "message" in whole:
            _ = self._messages[whole["message"]["chat"]["id"]]
        self.repeat(whole)
        return whole

    def repeat(self, update: dict[str, Any]) -> None:
        """The same update once more, same id, though it may have been confirmed."""
        self._updates.append(update)
        self._updates.sort(key=lambda pending: pending["update_id"])
        self.confirmed = min(self.confirmed, update["update_id"])
        self._notify()

    def fail_next(self, method: str, *faults: Fault) -> None:
        """The next calls of `method` meet these faults, one each."""
        self._faults[method].extend(faults)

    # What a test sees

    def messages(self, chat_id: int) -> list[dict[str, Any]]:
        """What the bot sent to a chat, in order."""
        return list(self._messages[chat_id])

    def calls_of(self, method: str) -> list[Call]:
        """The calls of one method, in order of their answers."""
        return [call for call in self.calls if call.method == method]

    @property
    def refusals(self) -> list[Call]:
        """Calls that were the bot's own fault."""
        return [call for call in self.calls if call.status in (400, 404)]

    @property
    def is_polled(self) -> bool:
        """Whether a poll is being held."""
        return self._poller is not None

    async def wait_for_message(self, chat_id: int, n: int = 1) -> list[dict[str, Any]]:
        """Wait until the bot sent `n` messages to a chat; all of them so far."""
        return await self.until(
            lambda: self.messages(chat_id) if len(self._messages[chat_id]) >= n else None
        )

    async def wait_for_call(self, method: str, n: int = 1) -> list[Call]:
        """Wait until `n` calls of a method were answered."""
        return await self.until(lambda: calls if len(calls := self.calls_of(method)) >= n else None)

    async def wait_until_confirmed(self, update: dict[str, Any]) -> None:
        """Wait until a `getUpdates` named an offset beyond the update."""
        await self.until(lambda: self.confirmed > update["update_id"] or None)

    async def until(self, look: Callable[[], ResultT | None]) -> ResultT:
        """Wait until `look` finds something."""
        while (found := look()) is None:
            await self._changed.wait()
        return found

    # What the bot meets

    async def handle(self, request: HttpRequest) -> HttpAnswer:
        """Answer one request."""
        match = _PATH.fullmatch(request.path)
        method = match[2] if match else request.path
        parameters: dict[str, Any] = {}
        status = 0
        try:
            fault = self._faults[method].popleft() if self._faults[method] else None
            self._check_route(match)
            parameters = self._read(method, request)
            answer = await self._answer_or_fail(method, parameters, fault)
            status = answer.status
        except RefusedError as refusal:
            status = refusal.status
            answer = _error(refusal.status, refusal.description, refusal.parameters)
        finally:
            self.calls.append(Call(method, parameters, status))
            self._notify()
        return answer

    def _check_route(self, match: re.Match[str] | None) -> None:
        if match is None or not _TOKEN.fullmatch(match[1]):
            raise RefusedError(404, "Not Found")
        if match[1] != self.token:
            raise RefusedError(401, "Unauthorized")
        if match[2] not in PARAMETERS:
            raise RefusedError(404, "Not Found")

    def _read(self, method: str, request: HttpRequest) -> dict[str, Any]:
        try:
            given = request.parameters()
        except ValueError as error:
            raise bad_request(str(error)) from None
        return parse_parameters(method, given)

    async def _answer_or_fail(
        self, method: str, parameters: dict[str, Any], fault: Fault | None
    ) -> HttpAnswer:
        match fault:
            case DropBefore():
                raise ConnectionDropped
            case DropAfter():
                await self._do(method, parameters)
                raise ConnectionDropped
            case Status():
                return _error(fault.status, fault.description, fault.parameters)
            case Garbage():
                return HttpAnswer(200, raw=b"<html>Bad gateway</html>")
            case Hang():
                fault.reached.set()
                await fault.release.wait()
                return _success(await self._do(method, parameters))
            case None:
                return _success(await self._do(method, parameters))

    async def _do(self, method: str, parameters: dict[str, Any]) -> Any:
        match method:
            case "getMe":
                return _BOT
            case "getUpdates":
                return await self._get_updates(**parameters)
            case "sendMessage":
                return self._send_message(parameters)
            case "editMessageText":
                return self._edit_message_text(parameters)
            case "sendChatAction":
                self._check_chat(parameters["chat_id"])
                check_action(parameters["action"])
            case "setMyCommands":
                check_commands(parameters["commands"])
                self.commands = parameters["commands"]
            case _:
                pass
        return True

    async def _get_updates(
        self,
        offset: int = 0,
        limit: int = 100,
        timeout: int = 0,
        allowed_updates: list[str] | None = None,
    ) -> list[dict[str, Any]]:
        if self._poller is not None:
            self._poller.cancel()
        self.confirmed = max(self.confirmed, offset)
        self._updates = [update for update in self._updates if update["update_id"] >= offset]
        self._notify()
        with anyio.CancelScope() as mine:
            self._poller = mine
            self._notify()
            try:
                with anyio.move_on_after(min(timeout, 50)):
                    while not self._deliverable(allowed_updates):
                        await self._changed.wait()
                return self._deliverable(allowed_updates)[:limit]
            finally:
                if self._poller is mine:
                    self._poller = None
        raise RefusedError(CONFLICT.status, CONFLICT.description)

    def _deliverable(self, allowed: list[str] | None) -> list[dict[str, Any]]:
        return [u for u in self._updates if not allowed or u.keys() & {*allowed}]

    def _check_chat(self, chat_id: int) -> None:
        if chat_id not in self._messages:
            raise bad_request("chat not found")
        if chat_id in self.blocked:
            raise RefusedError(403, "Forbidden: bot was blocked by the user")

    def _send_message(self, parameters: dict[str, Any]) -> dict[str, Any]:
        chat_id: int = parameters["chat_id"]
        self._check_chat(chat_id)
        message = {
            "message_id": next(self._message_ids),
            "date": int(time.time()),
            "chat": {"id": chat_id, "type": "private" if chat_id > 0 else "supergroup"},
            "from": _BOT,
            **check_text(parameters),
        }
        self._messages[chat_id].append(message)
        return message

    def _edit_message_text(self, parameters: dict[str, Any]) -> dict[str, Any]:
        chat_id: int = parameters["chat_id"]
        self._check_chat(chat_id)
        body = check_text(parameters)
        for message in self._messages[chat_id]:
            if message["message_id"] == parameters["message_id"]:
                if (message["text"], message.get("entities")) == (
                    body["text"],
                    body.get("entities"),
                ):
                    raise bad_request(
                        "message is not modified: specified new message content and reply markup "
                        "are exactly the same as a current content and reply markup of the message"
                    )
                message.pop("entities", None)
                message.update(body)
                return message
        raise bad_request("message to edit not found")

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def _success(result: Any) -> HttpAnswer:
    return HttpAnswer(200, {"ok": True, "result": result})


def _error(status: int, description: str, parameters: dict[str, Any]) -> HttpAnswer:
    body: dict[str, Any] = {"ok": False, "error_code": status, "description": description}
    if parameters:
        body["parameters"] = parameters
    return HttpAnswer(status, body)


@asynccontextmanager
async def open_bot_api(
    token: str, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncGenerator[FakeBotApi]:
    """Serve, on loopback if not told otherwise, until the context is left."""
    api = FakeBotApi(token)
    async with open_http_server(api.handle, port, host) as base_url:
        api.base_url = base_url
        yield api
