"""Everything the servers offer for everybody who might ask, made of the servers' own listings."""

import base64
import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
from mcp_types import METHOD_NOT_FOUND
from mcp_types.methods import CLIENT_REQUESTS

from servers.host import SERVER_NAMES
from tests.servers.http_serving import (
    ALL_SCOPES,
    OWN_SCOPES,
    VERSIONS,
    Answer,
    Asker,
    Era,
    Serving,
    serving,
)
from tests.servers.minimal_arguments import make_arguments

READ, WRITE, CALL, DELEGATE = (
    "conversations:read",
    "conversations:write",
    "tools:call",
    "delegate",
)
TOOL_SCOPES = {
    "load_conversation": READ,
    "list_conversations": READ,
    "get_conversation": READ,
    "search_conversations": READ,
    "export_conversation": READ,
    "list_attachments": READ,
    "read_attachment": READ,
    "append_messages": WRITE,
    "save_conversation": WRITE,
    "annotate_message": WRITE,
    "update_conversation": WRITE,
    "delete_conversation": WRITE,
    "import_conversation": WRITE,
    "fork_conversation": WRITE,
    "merge_conversations": WRITE,
    "put_attachment": WRITE,
    "list_deliveries": DELEGATE,
    "list_owners": DELEGATE,
    "get_stats": DELEGATE,
    "open_pairing": DELEGATE,
    "claim_pairing": DELEGATE,
    "list_identities": DELEGATE,
    "remove_identity": DELEGATE,
}
"""The conversation server's tools. Whoever adds one says here what a caller needs for it."""
PAIRING = {"open_pairing", "claim_pairing", "list_identities", "remove_identity"}
OF_ALL = {"list_owners", "get_stats", *PAIRING}
"""Of these, calls that name no owner. Others that span owners are confined to one that is named."""
WRITING = {name for name, scope in TOOL_SCOPES.items() if scope == WRITE} | (
    PAIRING - {"list_identities"}
)
SHOWING = {
    "load_conversation",
    "list_conversations",
    "get_conversation",
    "search_conversations",
    "export_conversation",
    "list_deliveries",
}
"""Tools whose answer holds what the owner has stored."""
OPEN_METHODS = {
    "initialize",
    "logging/setLevel",
    "ping",
    "prompts/list",
    "resources/templates/list",
    "server/discover",
    "tools/list",
}
"""They tell nothing of anybody's: whoever is let in may ask."""
OPEN_OF_SERVERS = {("tools", "subscriptions/listen")}
"""It tells only that there are other tools, as the list does."""
OWNED_METHODS = {
    "completion/complete",
    "prompts/get",
    "resources/list",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "subscriptions/listen",
    "tools/call",
}
OPTIONAL_METHODS = {"logging/setLevel"}
MOUNT_SCOPES = {"conversations": {READ, WRITE, DELEGATE}, "tools": {CALL}}

CONVERSATION, MESSAGE = "shared-id-4711", "shared-message-4712"
ATTACHMENT = "shared-attachment-4713"
URI = f"conversation://{CONVERSATION}"
NAMED_MESSAGE = {"conversation_id": CONVERSATION, "message_id": MESSAGE}
DOCUMENT = {
    "format": "agentic-conversation/1",
    "conversation": {"conversation_id": CONVERSATION, "owner": "ada"},
    "messages": [{"role": "user", "content": "said by whoever imports"}],
}
NAMED = {
    "conversation_id": CONVERSATION,
    "message_id": MESSAGE,
    "state": "pending",
    "query": "text",
    "document": DOCUMENT,
    "source_ids": [CONVERSATION],
    "into": CONVERSATION,
    "mime_type": "text/plain",
    "data": "YQ==",
    "uri": f"{URI}/attachments/{ATTACHMENT}",
    "identity": "telegram:4714",
}
IN_TEMPLATES = {
    "{conversation_id}": CONVERSATION,
    "{attachment_id}": ATTACHMENT,
    "{?offset,length}": "?offset=1&length=2",
    "{?since}": "?since=2026-01-31",
    "{id}": "a" * 32,
}


def encode(owner: str) -> str:
    """The bytes of an owner's attachment, as they are sent."""
    return base64.b64encode(f"{owner}-bytes!".encode()).decode()


@dataclass(frozen=True)
class Operation:
    """One thing that can be asked for. `scope` None: whoever is let in may have it."""

    server: str
    method: str
    params: Mapping[str, Any]
    scope: str | None = None
    shows: bool = False

    @property
    def may_be_absent(self) -> bool:
        """Whether the protocol has it, but this server need not."""
        return self.server == "tools" or self.method in OPTIONAL_METHODS

    @property
    def spans_owners(self) -> bool:
        return self.scope == DELEGATE

    def __str__(self) -> str:
        return f"{self.server} {self.method} {self.params.get('name', '')}".rstrip()


async def find_operations(ada: Mapping[str, Asker], era: Era) -> list[Operation]:
    """What every server lists, and what the protocol knows of besides."""
    found: list[Operation] = []
    for server, asker in ada.items():
        operations = await find_listed(server, asker)
        listed = {operation.method for operation in operations}
        for method in sorted(methods_of(era) - listed):
            is_open = method in OPEN_METHODS or (server, method) in OPEN_OF_SERVERS
            scope = None if is_open else READ if server == "conversations" else CALL
            shows = (server, method) == ("conversations", "resources/list")
            operations.append(Operation(server, method, params_of(method), scope, shows))
        found += operations
    return found


def methods_of(era: Era) -> set[str]:
    methods = {method for method, version in CLIENT_REQUESTS if version == VERSIONS[era]}
    unknown = methods - OPEN_METHODS - OWNED_METHODS
    assert not unknown, f"say whether these tell of anybody's data: {unknown}"
    return methods


async def find_listed(server: str, asker: Asker) -> list[Operation]:
    tools = (await asker.ask("tools/list")).result["tools"]
    assert tools
    operations = [to_operation(server, tool) for tool in tools]
    own = READ if server == "conversations" else CALL
    operations += [
        Operation(
            server,
            "resources/read",
            {"uri": resource["uri"]},
            own,
            shows=resource["uri"] == URI or server == "tools",
        )
        for resource in (await asker.ask("resources/list")).result["resources"]
    ]
    for template in (await asker.ask("resources/templates/list")).result["resourceTemplates"]:
        uri = template["uriTemplate"]
        for variable, value in IN_TEMPLATES.items():
            uri = uri.replace(variable, value)
        assert "{" not in uri, "a new template: say what goes into it"
        scope = DELEGATE if uri.startswith("tool-usage://all") else own
        shows = not uri.startswith("tool-result://")  # of this id there is nobody's
        operations.append(Operation(server, "resources/read", {"uri": uri}, scope, shows))
        if server == "tools":
            continue
        reference = {"type": "ref/resource", "uri": template["uriTemplate"]}
        operations.append(completion(server, reference, "conversation_id"))
    if server == "tools":
        return operations
    for prompt in (await asker.ask("prompts/list")).result["prompts"]:
        names = [argument["name"] for argument in prompt["arguments"]]
        assert set(names) <= NAMED.keys(), "a new argument: say what goes into it"
        params = {"name": prompt["name"], "arguments": {name: NAMED[name] for name in names}}
        operations.append(Operation(server, "prompts/get", params, READ, shows=True))
        reference = {"type": "ref/prompt", "name": prompt["name"]}
        operations += [completion(server, reference, name) for name in names]
    return operations


def to_operation(server: str, tool: Mapping[str, Any]) -> Operation:
    name = tool["name"]
    assert server == "tools" or name in TOOL_SCOPES, f"say what a caller needs for {name}"
    scope = CALL if server == "tools" else TOOL_SCOPES[name]
    if server == "conversations":
        is_reading = tool["annotations"]["readOnlyHint"]
        assert is_reading == (name not in WRITING), f"{name} says otherwise of itself"
    params = {"name": name, "arguments": make_arguments(tool["inputSchema"], NAMED)}
    return Operation(server, "tools/call", params, scope, name in SHOWING)


def completion(server: str, reference: Mapping[str, str], name: str) -> Operation:
    params = {"ref": reference, "argument": {"name": name, "value": ""}}
    return Operation(server, "completion/complete", params, READ, shows=True)


def params_of(method: str) -> dict[str, Any]:
    """Of a method that no listing leads to."""
    match method:
        case "initialize":
            info = {"name": "test", "version": "1"}
            version = VERSIONS["older"]
            return {"protocolVersion": version, "capabilities": {}, "clientInfo": info}
        case "logging/setLevel":
            return {"level": "debug"}
        case "resources/subscribe" | "resources/unsubscribe" | "resources/read":
            return {"uri": URI}
        case "subscriptions/listen":
            return {"notifications": {"resourceSubscriptions": [URI]}}
        case "prompts/get":
            return {"name": "continue_conversation", "arguments": {"conversation_id": CONVERSATION}}
        case "completion/complete":
            reference = {"type": "ref/prompt", "name": "continue_conversation"}
            return {"ref": reference, "argument": {"name": "conversation_id", "value": ""}}
        case _:
            return {}


CONTENTS = ("ada-text", "ada-title", "ada-fact", "ada-only", "ada-file", encode("ada"))
SECRETS = (*CONTENTS, CONVERSATION, MESSAGE, ATTACHMENT)
"""Of Ada's: what nobody else may see, unless they said it themselves."""


@dataclass(frozen=True)
class Expected:
    """Of an answer: one of these HTTP statuses, or this error code, or no refusal and this text."""

    statuses: tuple[int, ...] = ()
    code: str | None = None
    text: str | None = None
    secrets: tuple[str, ...] = SECRETS


NO_TOKEN = Expected(statuses=(401, 429))
NO_ENTRY = Expected(statuses=(403,))
FORBIDDEN = Expected(code="forbidden")
HARMLESS = Expected(secrets=CONTENTS)
SERVED = Expected(text="cleo", secrets=CONTENTS)
OF_EVERYBODY = Expected(text="", secrets=())


class Matrix:
    """Asks for everything as everybody; `wrong` collects what should not have been."""

    def __init__(self, served: Serving, http: httpx2.AsyncClient, era: Era) -> None:
        self.era: Era = era
        self.wrong: list[str] = []
        self.cells = 0
        self._served = served
        self._http = http

    async def begin(self, name: str, owner: str, scopes: Collection[str]) -> dict[str, Asker]:
        """Somebody with a token of their own at every server, with a session where there are."""
        token = self._served.create_token(self.name(name), owner, scopes)
        askers = {
            server: Asker(self._http, url, self.era, token)
            for server, url in self._served.urls.items()
        }
        if self.era == "older":
            for asker in askers.values():
                await asker.begin()
        return askers

    def name(self, name: str) -> str:
        """Of a token, which is there once for each era."""
        return f"{name} {self.era}"

    async def expect(
        self,
        expected: Expected,
        who: str,
        askers: Mapping[str, Asker],
        operation: Operation,
        owner: str | None = None,
    ) -> None:
        """Ask, and note what is wrong with the answer."""
        asker = replace(askers[operation.server])  # a session that it begins is not gone on with
        answer = await asker.ask(operation.method, operation.params, owner=owner)
        self.cells += 1
        if found := find_wrong(answer, operation, expected):
            self.wrong.append(f"{self.era}: {who}: {operation}: {found}: {answer.text[:300]!r}")


def find_wrong(answer: Answer, operation: Operation, expected: Expected) -> str | None:
    given = json.dumps(operation.params)
    if told := [each for each in expected.secrets if each in answer.text and each not in given]:
        return f"tells {told}"
    if expected.statuses:
        is_so = answer.status in expected.statuses and "result" not in answer.message
        return None if is_so else f"is not turned away with {expected.statuses}"
    if answer.error_code == METHOD_NOT_FOUND:
        return None if operation.may_be_absent else "is absent"
    if expected.code is not None:
        is_so = answer.error_code == expected.code
        return None if is_so else f"is not {expected.code}"
    return find_not_served(answer, operation, expected.text)


def find_not_served(answer: Answer, operation: Operation, text: str | None) -> str | None:
    if text is None:
        return None
    if answer.status in (401, 403, 429) or answer.error_code == "forbidden":
        return "is refused"
    return f"does not show {text}" if operation.shows and text not in answer.text else None


async def fill(delegate: Asker, owner: str) -> None:
    """The same ids for everybody, with contents that tell whose they are."""
    message = {
        "message_id": MESSAGE,
        "role": "user",
        "content": f"{owner}-text",
        "annotations": {"delivery": "pending", "note": f"{owner}-fact"},
    }
    attached = {
        "conversation_id": CONVERSATION,
        "attachment_id": ATTACHMENT,
        "name": f"{owner}-file",
        "mime_type": "text/plain",
    }
    for tool, arguments in (
        ("append_messages", {"conversation_id": f"{owner}-only", "messages": [message]}),
        ("append_messages", {"conversation_id": CONVERSATION, "messages": [message]}),
        ("annotate_message", {**NAMED_MESSAGE, "annotations": message["annotations"]}),
        ("update_conversation", {"conversation_id": CONVERSATION, "title": f"{owner}-title"}),
        ("put_attachment", {**attached, "data": encode(owner)}),
    ):
        answer = await delegate.call(tool, arguments, owner=owner)
        assert answer.error_code is None, answer


async def all_of(delegate: Asker, owner: str) -> list[str]:
    answers = [
        await delegate.call("load_conversation", {"conversation_id": CONVERSATION}, owner=owner),
        await delegate.call("get_conversation", {"conversation_id": CONVERSATION}, owner=owner),
        await delegate.call("list_conversations", owner=owner),
    ]
    return [json.dumps(answer.result["structuredContent"], sort_keys=True) for answer in answers]


def files_of(store: Path) -> dict[str, str]:
    """The conversations as they lie on the disk."""
    return {
        str(file): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted((store / "v1").rglob("*"))
        if file.is_file()
    }


async def begin_strangers(matrix: Matrix, served: Serving) -> dict[str, dict[str, Asker]]:
    """Everybody whom the mount has to turn away; who had been let in before keeps its session."""
    robbed = await matrix.begin("robbed", "ada", ALL_SCOPES)
    revoked = await matrix.begin("revoked", "ada", ALL_SCOPES)
    expired = await matrix.begin("expired", "ada", ALL_SCOPES)
    served.tokens.revoke(matrix.name("revoked"))
    served.tokens.rewrite(matrix.name("expired"), expires_at="2026-01-01T00:00:00Z")
    right = robbed["tools"].token or ""
    wrong = {
        "no token": None,
        "no secret": "agentic_" + right.split("_", 2)[1] + "_",
        "wrong secret": right[:-1] + ("x" if right[-1] != "x" else "y"),
        "unknown token": "agentic_00000000_" + right.split("_", 2)[2],
    }
    return {
        "revoked": revoked,
        "expired": expired,
        **{
            who: {server: replace(asker, token=token) for server, asker in robbed.items()}
            for who, token in wrong.items()
        },
    }


async def refuse_all(matrix: Matrix, served: Serving, operations: list[Operation]) -> None:
    """Those who may not: turned away at the mount, or `forbidden`."""
    strangers = await begin_strangers(matrix, served)
    foreign = {
        server: (await matrix.begin(f"not {server}", "ada", ALL_SCOPES - scopes))[server]
        for server, scopes in MOUNT_SCOPES.items()
    }
    narrow: dict[str, dict[str, Asker]] = {}
    for scope in sorted({operation.scope for operation in operations if operation.scope}):
        narrow[scope] = await matrix.begin(f"no {scope}", "ada", OWN_SCOPES - {scope})
    bob = await matrix.begin("bob for ada", "bob", OWN_SCOPES)
    silent = await matrix.begin("silent", "bob", ALL_SCOPES)
    for operation in operations:
        for who, askers in strangers.items():
            await matrix.expect(NO_TOKEN, who, askers, operation)
        await matrix.expect(NO_ENTRY, "foreign scope", foreign, operation)
        if operation.scope is None:
            continue
        needed = {operation.scope}
        lacking = NO_ENTRY if MOUNT_SCOPES[operation.server] == needed else FORBIDDEN
        await matrix.expect(lacking, f"no {needed}", narrow[operation.scope], operation)
        await matrix.expect(FORBIDDEN, "bob for ada", bob, operation, "ada")
        if not operation.spans_owners:
            await matrix.expect(FORBIDDEN, "delegate for nobody", silent, operation)


async def examine(served: Serving, http: httpx2.AsyncClient, era: Era) -> Matrix:
    matrix = Matrix(served, http, era)
    delegate = await matrix.begin("delegate", "operator", ALL_SCOPES)
    store = delegate["conversations"]
    await fill(store, "ada")
    operations = await find_operations(await matrix.begin("ada", "ada", OWN_SCOPES), era)
    state, files = await all_of(store, "ada"), files_of(served.store)

    await refuse_all(matrix, served, operations)
    assert not matrix.wrong, "\n".join(matrix.wrong)
    assert files_of(served.store) == files

    bob = await matrix.begin("bob", "bob", OWN_SCOPES)
    await fill(store, "cleo")
    for operation in operations:
        await matrix.expect(HARMLESS, "bob", bob, operation)
        is_of_all = operation.params.get("name") in OF_ALL
        expected = FORBIDDEN if is_of_all else SERVED
        await matrix.expect(expected, "delegate for cleo", delegate, operation, "cleo")
        if operation.spans_owners:
            await matrix.expect(OF_EVERYBODY, "delegate for nobody", delegate, operation)
        if operation.scope == WRITE:
            await fill(store, "cleo")
    assert await all_of(store, "ada") == state
    return matrix


async def test_nobody_gets_what_is_not_theirs_whatever_they_ask_for(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, httpx2.AsyncClient(timeout=30) as http:
        assert served.urls.keys() == set(SERVER_NAMES) == MOUNT_SCOPES.keys()
        modern = await examine(served, http, "modern")
        older = await examine(served, http, "older")
        wrong = modern.wrong + older.wrong
        assert not wrong, "\n".join(wrong)
        assert modern.cells + older.cells > 500
