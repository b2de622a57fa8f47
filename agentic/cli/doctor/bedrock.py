"""Whether AWS credentials and a region are found for a model of Amazon Bedrock. Asks no model."""

from agentic.cli.doctor.findings import Finding
from client.llm.protocol import ModelError, ModelRequest
from client.llm.remote import RemoteModel
from servers.conversations.contract import Message

_REQUEST = ModelRequest("", [Message(message_id="doctor", role="user", content="Hello")])


async def check_bedrock(check: str, model: RemoteModel) -> Finding:
    """Sign a request as for a turn, and don't send it: only answers cost, but they all do."""
    try:
        exchange = await model.prepare(_REQUEST)
    except ModelError as error:
        fix = "Do what it says; `aws sts get-caller-identity` shows who AWS takes you for."
        return Finding(check, "problem", str(error), fix)
    await exchange.close()
    summary = f"AWS credentials are there; whether they may use {model.name} shows when asked"
    return Finding(check, "ok", summary)
