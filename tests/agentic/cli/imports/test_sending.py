"""What was found arrives once, in pages, past what is there already; refusals cost themselves."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentic.cli.failures import CommandError
from agentic.cli.imports.reading import read_conversations
from agentic.cli.imports.sending import Sender, paginate, take
from agentic.cli.imports.source import Source
from agentic.cli.imports.tally import OTHER_CONTENT, Tally
from client.conversations import ConversationCallError, RemoteConversationStore
from client.hub.errors import InvalidArgumentsError, ServerUnavailableError, UnknownToolError
from servers.conversations.contract import Message
from servers.conversations.contract_results import ErrorDetail
from tests.agentic.cli.imports.exports import (
    chatgpt_conversation,
    chatgpt_message,
    marked,
    own_document,
    write_json,
)
from tests.agentic.cli.imports.store_server import Answer, StoreServer
from tests.assistant import open_assistant


async def send(server: StoreServer, path: Path, tally: Tally | None = None) -> Tally:
    tally = tally or Tally()
    with anyio.fail_after(30):
        await send_to(RemoteConversationStore(server), path, tally)
    return tally


async def send_to(store: RemoteConversationStore, path: Path, tally: Tally) -> None:
    sender, conversations = Sender(store, tally), read_conversations(Source(path), "auto", tally)
    while (found := await take(conversations)) is not None:
        await sender.send(found)


def chats(*names: str, count: int = 2) -> list[dict[str, Any]]:
    said = [chatgpt_message(f"{n}", ("user", "assistant")[n % 2]) for n in range(count)]
    return [chatgpt_conversation(*said, conversation_id=name, title=name) for name in names]


async def test_all_messages_arrive_in_pages_and_in_order(tmp_path: Path) -> None:
    server = StoreServer()
    document = own_document(2_300)
    tally = await send(server, write_json(tmp_path / "c.json", document))
    assert server.pages == [1_000, 1_000, 300]
    stored = [message.to_wire() for message in server.messages["telegram:42"]]
    assert stored == marked(document["messages"])
    assert server.facts["telegram:42"]["metadata"] == document["conversation"]["metadata"]
    assert (tally.changed, tally.messages, tally.appended) == (1, 2_300, 2_300)


async def test_large_messages_make_small_pages(tmp_path: Path) -> None:
    server = StoreServer()
    [conversation] = chats("a", count=1)
    message = chatgpt_message("é" * 200_000)
    big = chatgpt_conversation(*[message] * 12, conversation_id="big")
    await send(server, write_json(tmp_path / "c.json", [conversation, big]))
    assert server.pages == [1, 6, 6]


async def test_a_second_import_sends_nothing(tmp_path: Path) -> None:
    server = StoreServer()
    path = write_json(tmp_path / "c.json", [*chats("a", "b", count=60), own_document(70)])
    await send(server, path)
    server.pages.clear()
    tally = await send(server, path)
    assert server.pages == []
    assert (tally.conversations, tally.changed, tally.messages) == (3, 0, 190)
    assert (tally.appended, tally.repeated) == (0, 190)


async def test_an_import_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    server = StoreServer()
    path = write_json(tmp_path / "c.json", chats("a", count=2_500))
    server.judge = lambda document: (
        UnknownToolError("conversations", "stop") if len(server.pages) == 2 else None
    )
    stopped = Tally()
    with pytest.raises(UnknownToolError):
        await send(server, path, stopped)
    assert (stopped.changed, stopped.appended) == (1, 1_000)
    server.pages.clear()
    server.judge = lambda document: None
    tally = await send(server, path)
    assert server.pages == [1_000, 500]
    assert (tally.appended, tally.repeated) == (1_500, 1_000)
    assert [message.content for message in server.messages["chatgpt:a"]] == [
        str(n) for n in range(2_500)
    ]


async def test_what_is_new_in_a_later_export_is_added(tmp_path: Path) -> None:
    server = StoreServer()
    await send(server, write_json(tmp_path / "c.json", chats("a", count=60)))
    tally = await send(server, write_json(tmp_path / "c.json", chats("a", count=63)))
    assert server.pages == [60, 3]
    assert (tally.appended, tally.repeated, tally.changed) == (3, 60, 1)


@pytest.mark.parametrize("count", [40, 60])
async def test_a_last_message_that_grew_since_is_told_however_many_there_are(
    tmp_path: Path, count: int
) -> None:
    server = StoreServer()
    path = tmp_path / "c.json"
    [conversation] = chats("a", count=count)
    await send(server, write_json(path, [conversation]))
    conversation["mapping"][f"n{count - 1}"]["message"]["content"]["parts"] = ["all of it"]
    tally = await send(server, write_json(path, [conversation]))
    assert (tally.messages, tally.appended, tally.repeated) == (count, 0, count - 1)
    assert tally.skipped[OTHER_CONTENT].count == 1


async def test_few_messages_are_sent_again_and_add_nothing(tmp_path: Path) -> None:
    server = StoreServer()
    path = write_json(tmp_path / "c.json", chats("a", count=50))
    await send(server, path)
    tally = await send(server, path)
    assert server.pages == [50, 50]
    assert (tally.appended, tally.repeated, tally.changed) == (0, 50, 0)


async def test_where_others_wrote_since_all_is_sent_and_compared(tmp_path: Path) -> None:
    server = StoreServer()
    path = write_json(tmp_path / "c.json", chats("a", count=3))
    await send(server, path)
    stored = server.messages["chatgpt:a"]
    stored[1] = stored[1].model_copy(update={"content": "changed"})
    stored[2] = stored[2].model_copy(update={"message_id": "of somebody else"})
    tally = await send(server, path)
    assert (tally.appended, tally.repeated, tally.skipped[OTHER_CONTENT].count) == (1, 1, 1)
    assert ["stored already with other content" in each for each in tally.problems] == [True]


async def test_an_empty_conversation_of_ours_is_made(tmp_path: Path) -> None:
    server = StoreServer()
    tally = await send(server, write_json(tmp_path / "c.json", own_document(0)))
    assert server.messages == {"telegram:42": []}
    assert (tally.conversations, tally.changed) == (1, 0)


async def test_a_refused_conversation_is_told_and_the_next_ones_are_stored(tmp_path: Path) -> None:
    server = StoreServer()

    def judge(document: dict[str, Any]) -> Answer:
        bad = document["conversation"]["title"] == "b"
        return ErrorDetail(code="invalid", message="no tags, please") if bad else None

    server.judge = judge
    tally = await send(server, write_json(tmp_path / "c.json", chats("a", "b", "c")))
    assert list(server.messages) == ["chatgpt:a", "chatgpt:c"]
    assert (tally.failed, tally.changed) == (1, 2)
    assert tally.problems == ["b: the server refuses it: no tags, please"]


@pytest.mark.parametrize(("code", "pages"), [("forbidden", 1), ("invalid", 21)])
async def test_a_server_that_refuses_everything_ends_the_import(
    tmp_path: Path, code: Any, pages: int
) -> None:
    server = StoreServer(lambda _document: ErrorDetail(code=code, message="not for you"))
    path = write_json(tmp_path / "c.json", chats(*map(str, range(30))))
    with pytest.raises((CommandError, ConversationCallError), match="not for you"):
        await send(server, path)
    assert len(server.pages) == pages


@pytest.mark.slow
async def test_a_server_that_is_away_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    server = StoreServer()
    away: list[Answer] = [
        ErrorDetail(code="unavailable", message="busy", retry_after_seconds=0.01),
        ServerUnavailableError("conversations", "gone"),
    ]
    server.judge = lambda _document: away.pop(0) if away else None
    tally = await send(server, write_json(tmp_path / "c.json", chats("a")))
    assert server.pages == [2, 2, 2]
    assert tally.appended == 2


async def test_the_real_store_takes_everything_once_and_without_loss(tmp_path: Path) -> None:
    document = own_document(1_203)
    path = write_json(tmp_path / "c.json", [*chats("a", "b"), document])
    tallies: list[Tally] = []
    with anyio.fail_after(60):
        async with open_assistant(tmp_path / "store") as assistant:
            for _ in range(2):
                tallies.append(tally := Tally())
                await send_to(assistant.store, path, tally)
            facts = await assistant.store.get_conversation("telegram:42")
            newest = await assistant.store.load_conversation("telegram:42", limit=500)
            chat = await assistant.store.get_conversation("chatgpt:a")
    assert [tally.problems for tally in tallies] == [[], []]
    assert [(tally.appended, tally.repeated) for tally in tallies] == [(1_207, 0), (0, 1_207)]
    given = document["conversation"]
    kept = {"conversation_id", "title", "tags", "metadata", "created_at", "last_updated"}
    assert {name: getattr(facts, name) for name in kept} == {name: given[name] for name in kept}
    assert [message.to_wire() for message in newest.messages] == marked(document["messages"])[-500:]
    assert (chat.tags, chat.metadata) == (["imported", "chatgpt"], {"imported_from": "chatgpt"})


def nested(levels: int) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for _ in range(levels - 1):
        facts = {"in": facts}
    return facts


async def test_what_a_store_accepted_is_taken_from_its_export(tmp_path: Path) -> None:
    """A document wraps what was an argument: it is nested deeper than what was stored."""
    message = Message(message_id="m", role="user", content="x", metadata=nested(98))
    with anyio.fail_after(30):
        async with open_assistant(tmp_path / "from") as assistant:
            store = assistant.store
            await store.append_messages("c", [message])
            await store.annotate_message("c", "m", {"deep": nested(99)})
            await store.update_conversation("c", metadata={"deep": nested(99)})
            exported = (await store.export_conversation("c")).document
            with pytest.raises(ConversationCallError, match="nested more than 100 levels"):
                await store.annotate_message("c", "m", {"deep": nested(100)})
        path = write_json(tmp_path / "c.json", exported)
        async with open_assistant(tmp_path / "to") as assistant:
            tally = Tally()
            await send_to(assistant.store, path, tally)
            loaded = await assistant.store.load_conversation("c")
            facts = await assistant.store.get_conversation("c")
    assert tally.problems == []
    assert loaded.messages[0].metadata == nested(98)
    assert (loaded.messages[0].annotations or {})["deep"] == nested(99)
    assert facts.metadata == {"deep": nested(99)}


async def test_what_can_not_be_sent_costs_itself(tmp_path: Path) -> None:
    """Neither the real client nor the real server sees it, and the rest is stored."""
    documents = [own_document(3, conversation_id=name, title=name) for name in "abcd"]
    documents[1]["messages"][1]["content"] = [{"type": "x", "deep": nested(150)}]
    documents[2]["conversation"]["metadata"] = {"a": float("inf")}
    path = tmp_path / "c.json"
    path.write_text("\n".join(map(json.dumps, documents)), "utf-8")
    with anyio.fail_after(30):
        async with open_assistant(tmp_path / "store") as assistant:
            tally = Tally()
            await send_to(assistant.store, path, tally)
            listed = await assistant.store.list_conversations()
    assert {each.conversation_id: each.message_count for each in listed.conversations} == {
        "a": 3,
        "b": 2,
        "d": 3,
    }
    assert tally.problems == [
        "b: left out message 2, which is nested more than 101 levels deep.",
        f"number 3 in {path}: left out a conversation whose `conversation` holds a number that "
        "JSON has not (NaN or infinite).",
    ]


async def test_what_the_client_refuses_to_send_is_told_and_the_next_ones_are_stored(
    tmp_path: Path,
) -> None:
    server = StoreServer()
    server.judge = lambda document: (
        InvalidArgumentsError("conversations", "the arguments are no good")
        if document["conversation"]["title"] == "b"
        else None
    )
    tally = await send(server, write_json(tmp_path / "c.json", chats("a", "b", "c")))
    assert list(server.messages) == ["chatgpt:a", "chatgpt:c"]
    assert tally.problems == ["b: it can't be sent: the arguments are no good"]


def test_a_page_holds_no_more_names_than_a_call_may() -> None:
    block = {"type": "x.many", "a": {f"k{number}": 1 for number in range(30_000)}}
    messages = [Message(role="user", content=[block]) for _ in range(7)]
    assert [len(page) for page in paginate(messages)] == [3, 3, 1]
