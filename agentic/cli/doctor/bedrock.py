"""Whether AWS credentials and a region are found for a model of Amazon Bedrock. Asks no model."""

from anyio import to_thread

from agentic.cli.doctor.findings import Finding
from agentic.config.models import Config, ModelConfig
from client.llm.bedrock import Bedrock
from client.llm.model_spec import Endpoint, ModelSpec, parse_endpoint
from client.llm.protocol import ModelError, ModelRequest
from servers.conversations.contract import Message

_REQUEST = ModelRequest("", [Message(message_id="doctor", role="user", content="Hello")])


async def check_bedrock(check: str, wanted: ModelConfig, config: Config) -> Finding:
    """Sign a request as for a turn, and don't send it: only answers cost, but they all do."""
    endpoint = parse_endpoint(wanted.base_url) if wanted.base_url else Endpoint("")
    spec = ModelSpec("bedrock", wanted.model or "", endpoint, 1, 1)
    region = wanted.region or config.environment.get("AWS_REGION") or None
    try:
        exchange = await to_thread.run_sync(
            Bedrock(region).prepare, spec, _REQUEST, abandon_on_cancel=True
        )
    except ModelError as error:
        fix = "Do what it says; `aws sts get-caller-identity` shows who AWS takes you for."
        return Finding(check, "problem", str(error), fix)
    await exchange.close()
    summary = f"AWS credentials are there; whether they may use {wanted.model} shows when asked"
    return Finding(check, "ok", summary)
