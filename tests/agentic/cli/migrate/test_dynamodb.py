"""To DynamoDB and back, whose listings lag behind its conversations."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from servers.aws.api import create_api
from servers.conversations.dynamodb_client import create_client
from servers.conversations.dynamodb_store import DynamoDBConversationStore
from servers.conversations.dynamodb_writes import Writer
from tests.agentic.cli.migrate.two_stores import everything, fill, open_two
from tests.fakes.dynamodb_places import in_table
from tests.fakes.dynamodb_server import CREDENTIALS, REGION, create_table, open_aws_server
from tests.servers.conversations.messages import user

pytestmark = pytest.mark.slow  # moto is


@pytest.fixture(scope="module")
def address() -> Generator[str]:
    os.environ.update(CREDENTIALS)
    with open_aws_server() as address:
        yield address


def open_table(address: str, listing_seconds: float) -> DynamoDBConversationStore:
    api = create_api("conversations", REGION, address)
    client = create_client(api, create_table(api))
    return DynamoDBConversationStore(Writer(client, listing_seconds, 1), in_table(client))


async def test_there_and_back_nothing_is_lost(tmp_path: Path, address: str) -> None:
    table = open_table(address, 0)
    async with open_two(tmp_path, "file", table) as two:
        await fill(two.source)
        before = await everything(two.source)
        assert (await two.migrate()).problems() == []
        assert await everything(table) == before
        assert (await two.migrate()).count() == {"unchanged": 12}
    async with open_two(tmp_path / "back", table, "file") as two:
        assert (await two.migrate()).problems() == []
        assert await everything(two.target) == before
        assert (await two.migrate()).count() == {"unchanged": 12}


async def test_what_a_listing_does_not_tell_yet_is_found(tmp_path: Path, address: str) -> None:
    table = open_table(address, 60)
    async with open_two(tmp_path, table, "file") as two:
        for number in range(3):
            await table.append_messages("ada", f"c{number}", [user("m")])
        await two.migrate()
        await table.append_messages("ada", "c1", [user("late")])
        [listed] = [
            each
            for each in (await table.list_conversations("ada")).conversations
            if each.conversation_id == "c1"
        ]
        assert listed.message_count == 1
        assert (await two.migrate()).count() == {"extended": 1, "unchanged": 2}
        arrived = (await two.target.load_conversation("ada", "c1")).messages
        assert [message.message_id for message in arrived] == ["m", "late"]
