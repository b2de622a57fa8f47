"""DynamoDB and S3 over HTTP, as far as moto has them."""

import secrets
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from servers.conversations.dynamodb_table import TTL_ATTRIBUTE, describe_table

REGION = "eu-central-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


@contextmanager
def open_aws_server(port: int = 0) -> Generator[str]:
    """Serve until the end of the context; gives its address. What it holds outlives that.

    One call at a time: moto looks whether a condition holds, and writes, in two steps.
    """
    import logging

    from moto.moto_server.werkzeug_app import (  # pyright: ignore[reportMissingTypeStubs]
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    answer, turn = DomainDispatcherApplication(create_backend_app), threading.Lock()

    def answer_in_turn(environ: Any, start_response: Any) -> Any:
        with turn:
            return answer(environ, start_response)

    server = make_server(
        "127.0.0.1", port, answer_in_turn, threaded=True, request_handler=MotoRequestHandler
    )
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        serving.join()


def create_table(api: Any) -> str:
    """A new table as conversations need it; its name. moto keeps all in one memory."""
    name = f"conversations-{secrets.token_hex(6)}"
    api.create_table(**describe_table(name))
    api.update_time_to_live(
        TableName=name,
        TimeToLiveSpecification={"Enabled": True, "AttributeName": TTL_ATTRIBUTE},
    )
    return name
