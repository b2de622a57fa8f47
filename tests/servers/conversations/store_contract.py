"""The contract suite: what every back end of `ConversationStore` must do.

A rule that is not in it does not exist. A back end's test file derives from
`ConversationStoreContract` and supplies the fixture `store`.
"""

from tests.servers.conversations.contract_of_attachments import (
    ContractOfAttachments,
    ContractOfManyAttachments,
)
from tests.servers.conversations.contract_of_changes import ContractOfChanges
from tests.servers.conversations.contract_of_copies import ContractOfCopies
from tests.servers.conversations.contract_of_exchange import ContractOfExchange
from tests.servers.conversations.contract_of_identity import ContractOfIdentity
from tests.servers.conversations.contract_of_listings import ContractOfListings
from tests.servers.conversations.contract_of_messages import ContractOfMessages
from tests.servers.conversations.contract_of_pages import ContractOfPages
from tests.servers.conversations.contract_of_search import ContractOfSearch


class ConversationStoreContract(
    ContractOfIdentity,
    ContractOfMessages,
    ContractOfPages,
    ContractOfChanges,
    ContractOfListings,
    ContractOfCopies,
    ContractOfExchange,
    ContractOfAttachments,
    ContractOfManyAttachments,
    ContractOfSearch,
):
    """All parts; each asks for the fixture `store`, opened and empty."""
