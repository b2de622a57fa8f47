"""What fails costs itself: the others go on, or the run ends and the next one goes on."""

from pathlib import Path
from typing import Any

import pytest

from agentic.cli.failures import CommandError, describe_failure
from agentic.cli.migrate.tally import Tally
from client.conversations import ConversationCallError
from client.hub.errors import CallTimedOutError, ServerUnavailableError
from servers.conversations.contract_results import StoredAttachment
from servers.conversations.contract_uris import AttachmentUri
from servers.conversations.file_store import open_file_store
from servers.conversations.store import ConversationStore
from tests.agentic.cli.migrate.two_stores import (
    Kind,
    TwoStores,
    everything,
    fill,
    list_attachments,
    open_two,
)
from tests.servers.conversations.messages import assistant, user, users
from tests.servers.conversations.stored_files import file_of


async def test_a_server_that_is_away_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    async with open_two(tmp_path) as two:
        await fill(two.source)
        # No more of them than one call is made again: they may all fall on the same one.
        failures: list[Exception] = [
            ServerUnavailableError("target", "gone", outcome_unknown=True),
            CallTimedOutError("target", "no answer", outcome_unknown=True),
        ]

        def judge(server: str, tool: str) -> None:
            if tool in ("import_conversation", "read_resource") and failures:
                raise failures.pop()

        two.hub.before = judge
        assert (await two.migrate()).problems() == []
        assert not failures
        assert await everything(two.target) == await everything(two.source)


@pytest.mark.parametrize("tool", ["list_owners", "import_conversation", "read_resource"])
async def test_a_server_that_stays_away_ends_it_and_the_next_run_goes_on(
    tmp_path: Path, tool: str
) -> None:
    async with open_two(tmp_path) as two:
        await fill(two.source)

        def judge(server: str, called: str) -> None:
            if called == tool:
                raise ServerUnavailableError(server, "server x went away")

        two.hub.before = judge
        with pytest.raises((ServerUnavailableError, BaseExceptionGroup)) as ended:
            await two.migrate()
        assert describe_failure(ended.value).message == "server x went away"
        two.hub.before = lambda server, tool: None
        assert (await two.migrate()).problems() == []
        assert await everything(two.target) == await everything(two.source)


async def refuse(two: TwoStores, **error: str) -> Tally:
    """Migrate while the target refuses all that is imported."""
    call_tool = two.hub.call_tool

    async def refusing(server: str, tool: str, arguments: Any, **how: Any) -> Any:
        result = await call_tool(server, tool, arguments, **how)
        if (server, tool) != ("target", "import_conversation"):
            return result
        failed = {"structured_content": {"error": error}, "is_error": True}
        return result.model_copy(update=failed)

    two.hub.call_tool = refusing
    return await two.migrate()


async def test_a_conversation_that_is_refused_is_named_with_the_reason(tmp_path: Path) -> None:
    async with open_two(tmp_path) as two:
        await two.source.append_messages("ada", "c", users(1))
        tally = await refuse(two, code="too_large", message="4 MiB at most")
        assert tally.problems() == ["c of ada: 4 MiB at most"]


@pytest.mark.parametrize(
    ("code", "count", "error"),
    [("forbidden", 1, ConversationCallError), ("unavailable", 30, CommandError)],
)
async def test_a_server_that_refuses_everything_ends_it(
    tmp_path: Path, code: str, count: int, error: type[Exception]
) -> None:
    async with open_two(tmp_path) as two:
        for number in range(count):
            await two.source.append_messages("ada", f"c{number}", users(1))
        with pytest.raises(BaseExceptionGroup) as ended:
            await refuse(two, code=code, message="not now")
        assert ended.group_contains(error, match="not now")
        assert describe_failure(ended.value).message == "not now"


async def test_damaged_records_are_told_and_all_others_arrive(tmp_path: Path) -> None:
    async with open_file_store(tmp_path / "source") as store:
        for conversation_id in ("c", "whole"):
            await store.append_messages("ada", conversation_id, users(5, size=50))
    file = file_of(tmp_path / "source", "c", "ada")
    file.write_bytes(file.read_bytes().replace(b"2:xxx", b"2:xyx"))
    async with open_two(tmp_path, "file", "file") as two:
        tally = await two.migrate()
        [told] = tally.problems()
        assert told.startswith("c of ada: 1 of its records can't be read at the source")
        assert "agentic conversations repair" in told
        arrived = (await two.target.load_conversation("ada", "c")).messages
        assert [message.message_id for message in arrived] == ["m0", "m1", "m3", "m4"]
        assert tally.count() == {"differing": 1, "copied": 1}
        assert (await two.migrate()).problems() == [told]


@pytest.mark.parametrize("damaged", ["source", "target"])
async def test_a_difference_that_damage_made_is_told_as_such(tmp_path: Path, damaged: str) -> None:
    async with open_two(tmp_path, "file", "file") as two:
        await two.source.append_messages("ada", "c", users(5, size=50))
        await two.migrate()
    file = file_of(tmp_path / damaged, "c", "ada")
    file.write_bytes(file.read_bytes().replace(b"2:xxx", b"2:xyx"))
    async with open_two(tmp_path, "file", "file") as two:
        [told] = (await two.migrate(thorough=True)).problems()
    assert told.startswith("c of ada: message 3 is another one there")
    assert f"But 1 of its records can't be read at the {damaged}" in told


async def test_a_damaged_attachment_is_told_and_the_other_one_arrives(tmp_path: Path) -> None:
    async with open_file_store(tmp_path / "source") as store:
        for name in ("a", "b"):
            await attach(store, name)
    data = next((tmp_path / "source").glob("v1/*/*.att/*.bin"))
    data.write_bytes(b"y" * data.stat().st_size)
    async with open_two(tmp_path, "file") as two:
        [told] = (await two.migrate()).problems()
        [arrived] = await attachments_of(two.target)
        [damaged] = {"a", "b"} - {arrived.attachment_id}
        assert told.startswith(f"c of ada: attachment {damaged}: ")
        assert "are damaged" in told


async def attach(
    store: ConversationStore, name: str, content: bytes = b"content", **fields: Any
) -> None:
    await store.put_attachment(
        "ada", "c", content, name=name, mime_type="a/b", attachment_id=name, **fields
    )


async def attachments_of(store: ConversationStore) -> list[StoredAttachment]:
    return [each async for each in list_attachments(store, "ada", "c")]


async def test_a_file_that_came_without_a_message_is_brought_by_the_next_run(
    tmp_path: Path,
) -> None:
    async with open_two(tmp_path) as two:
        await attach(two.source, "a")
        await two.migrate()
        await attach(two.source, "b", b"")
        await attach(two.source, "half", b"1", total_size=2)
        tally = await two.migrate()
        assert (tally.attachments_copied, tally.problems()) == (1, [])
        assert await everything(two.target) == await everything(two.source)
        assert (await two.migrate()).count() == {"unchanged": 1}


async def test_a_file_with_other_bytes_there_is_told_and_left(tmp_path: Path) -> None:
    async with open_two(tmp_path) as two:
        await two.source.append_messages("ada", "c", users(1))
        await two.migrate()
        await attach(two.source, "a")
        await attach(two.target, "a", b"CONTENT")
        [told] = (await two.migrate()).problems()
        assert told == "c of ada: attachment a: has another name, type or content there."
        part = await two.target.read_attachment("ada", "c", "a")
        assert part.data == b"CONTENT"


@pytest.mark.slow  # each of them is put and read twice
@pytest.mark.parametrize("kind", ["model", "file"])
async def test_more_files_than_a_page_lists_are_all_brought_though_no_message_names_them(
    tmp_path: Path, kind: Kind
) -> None:
    async with open_two(tmp_path, kind) as two:
        foreign = [AttachmentUri("c", "gone").render(), AttachmentUri("other", "a9").render()]
        links = [{"type": "resource_link", "uri": uri, "name": "n"} for uri in foreign]
        await two.source.append_messages("ada", "c", [user("m"), assistant("r", links)])
        await two.migrate()
        for number in range(203):
            await attach(two.source, f"a{number}", f"{number}".encode())
        await attach(two.target, "a0", b"0")
        tally = await two.migrate()
        assert (tally.attachments_copied, tally.problems()) == (202, [])
        assert len(await attachments_of(two.target)) == 203
        assert await everything(two.target) == await everything(two.source)
        assert (await two.migrate()).count() == {"unchanged": 1}


async def test_a_file_whose_facts_are_damaged_is_told_and_the_others_arrive(
    tmp_path: Path,
) -> None:
    async with open_file_store(tmp_path / "source") as store:
        for name in ("a", "b"):
            await attach(store, name)
    next((tmp_path / "source").glob("v1/*/*.att/*.json")).write_bytes(b"{}")
    async with open_two(tmp_path, "file") as two:
        [told] = (await two.migrate()).problems()
        assert told.startswith("c of ada: 1 of its attachments can't be read at the source")
        assert len(await attachments_of(two.target)) == 1


async def test_the_source_is_only_read_and_search_is_needed_nowhere(tmp_path: Path) -> None:
    reading = {
        "list_owners",
        "list_conversations",
        "list_deliveries",
        "get_conversation",
        "export_conversation",
        "list_attachments",
        "read_resource",
    }
    async with open_two(tmp_path) as two:
        await fill(two.source)
        await two.migrate()
        assert two.called("source") == reading
        assert two.called("target") == reading - {"list_owners"} | {
            "import_conversation",
            "put_attachment",
        }
