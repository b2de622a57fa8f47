"""DynamoDB and S3 over HTTP, as far as moto has them."""

import secrets
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from servers.conversations.dynamodb_table import TTL_ATTRIBUTE, describe_table

REGION = "eu-central-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


@contextmanager
def open_aws_server(port: int = 0) -> Generator[str]:
    """Serve until the end of the context; gives its address. What it holds outlives that."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def create_table(api: Any) -> str:
    """A new table as conversations need it; its name. moto keeps all in one memory."""
    name = f"conversations-{secrets.token_hex(6)}"
    api.create_table(**describe_table(name))
    api.update_time_to_live(
        TableName=name,
        TimeToLiveSpecification={"Enabled": True, "AttributeName": TTL_ATTRIBUTE},
    )
    return name
