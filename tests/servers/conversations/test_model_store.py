"""The model that stores are compared with obeys the contract itself."""

import pytest

from tests.servers.conversations.contract_of_changes import ContractOfChanges
from tests.servers.conversations.contract_of_identity import ContractOfIdentity
from tests.servers.conversations.contract_of_listings import ContractOfListings
from tests.servers.conversations.contract_of_messages import ContractOfMessages
from tests.servers.conversations.contract_of_pages import ContractOfPages
from tests.servers.conversations.model_store import ModelStore


class TestModelStore(
    ContractOfIdentity,
    ContractOfMessages,
    ContractOfPages,
    ContractOfChanges,
    ContractOfListings,
):
    @pytest.fixture
    async def store(self) -> ModelStore:
        return ModelStore()
