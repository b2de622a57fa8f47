"""The contract on DynamoDB."""

from typing import Any

import pytest

from servers.conversations.dynamodb_blobs import ItemBlobs
from servers.conversations.dynamodb_client import DynamoDBClient
from servers.conversations.dynamodb_store import DynamoDBConversationStore
from servers.conversations.dynamodb_writes import Writer
from tests.fakes.dynamodb_server import create_table
from tests.servers.conversations.contract_of_attachments import ContractOfAttachments
from tests.servers.conversations.contract_of_changes import ContractOfChanges
from tests.servers.conversations.contract_of_copies import ContractOfCopies
from tests.servers.conversations.contract_of_exchange import ContractOfExchange
from tests.servers.conversations.contract_of_identity import ContractOfIdentity
from tests.servers.conversations.contract_of_listings import ContractOfListings
from tests.servers.conversations.contract_of_messages import ContractOfMessages
from tests.servers.conversations.contract_of_pages import ContractOfPages


@pytest.fixture
def table(api: Any) -> str:
    """A new one."""
    return create_table(api)


@pytest.fixture
def store(api: Any, table: str) -> DynamoDBConversationStore:
    """Its listings don't lag."""
    client = DynamoDBClient(api, table)
    return DynamoDBConversationStore(Writer(client, 0, 1), ItemBlobs(client))


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
