"""The contract on DynamoDB Local: another engine than moto, which takes transactions seriously.

dynalite, a third, has neither transactions nor conditions that give back what they met, and so
can't hold this store.
"""

from collections.abc import Generator
from typing import Any

import pytest

from servers.aws.api import create_api
from servers.conversations.dynamodb_client import create_client
from servers.conversations.dynamodb_store import DynamoDBConversationStore
from servers.conversations.dynamodb_writes import Writer
from tests.fakes.dynamodb_local import open_dynamodb_local
from tests.fakes.dynamodb_places import in_table
from tests.fakes.dynamodb_server import CREDENTIALS, REGION, create_table
from tests.servers.conversations.contract_of_attachments import ContractOfAttachments
from tests.servers.conversations.contract_of_changes import ContractOfChanges
from tests.servers.conversations.contract_of_copies import ContractOfCopies
from tests.servers.conversations.contract_of_exchange import ContractOfExchange
from tests.servers.conversations.contract_of_identity import ContractOfIdentity
from tests.servers.conversations.contract_of_listings import ContractOfListings
from tests.servers.conversations.contract_of_messages import ContractOfMessages
from tests.servers.conversations.contract_of_pages import ContractOfPages

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def local_api() -> Generator[Any]:
    with pytest.MonkeyPatch.context() as environment:
        for name, value in CREDENTIALS.items():
            environment.setenv(name, value)
        with open_dynamodb_local() as address:
            yield create_api("conversations", REGION, address)


@pytest.fixture
def store(local_api: Any) -> DynamoDBConversationStore:
    """Over a table of its own; its listings don't lag."""
    client = create_client(local_api, create_table(local_api))
    return DynamoDBConversationStore(Writer(client, 0, 1), in_table(client))


class TestDynamoDBLocal(
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
