"""The contract on DynamoDB."""

from typing import Any

import pytest

from servers.conversations.contract_attachments import MAX_ATTACHMENTS
from servers.conversations.dynamodb_client import create_client
from servers.conversations.dynamodb_store import DynamoDBConversationStore
from servers.conversations.dynamodb_writes import Writer
from servers.conversations.store_errors import InvalidError
from tests.fakes.dynamodb_places import in_table
from tests.fakes.dynamodb_server import create_table
from tests.servers.conversations.contract_of_attachments import ContractOfAttachments, put
from tests.servers.conversations.contract_of_changes import ContractOfChanges
from tests.servers.conversations.contract_of_copies import ContractOfCopies
from tests.servers.conversations.contract_of_exchange import ContractOfExchange
from tests.servers.conversations.contract_of_identity import ContractOfIdentity
from tests.servers.conversations.contract_of_listings import ContractOfListings
from tests.servers.conversations.contract_of_messages import ContractOfMessages
from tests.servers.conversations.contract_of_pages import ContractOfPages
from tests.servers.conversations.messages import ID, OWNER


@pytest.fixture
def table(api: Any) -> str:
    """A new one."""
    return create_table(api)


@pytest.fixture
def store(api: Any, table: str) -> DynamoDBConversationStore:
    """Its listings don't lag."""
    client = create_client(api, table)
    return DynamoDBConversationStore(Writer(client, 0, 1), in_table(client))


class TestDynamoDBStore(
    ContractOfIdentity,
    ContractOfMessages,
    ContractOfPages,
    ContractOfChanges,
    ContractOfListings,
    ContractOfCopies,
    ContractOfExchange,
    ContractOfAttachments,
):
    """All parts but search."""


async def test_the_thousandth_attachment_is_the_last(
    store: DynamoDBConversationStore, api: Any
) -> None:
    """They are counted, so the count is set: moto copies the table for each of a thousand."""
    await put(store, b"x", "a7")
    pk, count = {"S": f"{OWNER}\n{ID}"}, {"N": str(MAX_ATTACHMENTS - 1)}
    items = api.query(
        TableName=store.writer.client.table,
        KeyConditionExpression="pk = :pk AND begins_with(sk, :n)",
        ExpressionAttributeValues={":pk": pk, ":n": {"S": "N#"}},
    )["Items"]
    assert [item["v"] for item in items] == [{"N": "1"}]
    api.put_item(TableName=store.writer.client.table, Item={**items[0], "v": count})
    await put(store, b"x", "the last")
    with pytest.raises(InvalidError, match="1000 attachments"):
        await put(store, b"x", "one more")
    assert (await put(store, b"xy", "a7")).size == 2
    await store.delete_conversation(OWNER, ID)
    assert (await put(store, b"x", "one more")).complete
