"""Botocore's clients of AWS's services, and the pauses between calls that are repeated.

botocore, on which boto3 stands, finds credentials and region by AWS's own rules (an IAM role, a
profile, variables). Its own retries are off: they pause for seconds where DynamoDB wants
milliseconds.
"""

import random
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio.to_thread
from botocore.exceptions import BotoCoreError

from servers.aws.failures import explain

THREADS = 8
"""Of one client: so many calls at once."""
_FIRST_PAUSE_SECONDS = 0.025
_LONGEST_PAUSE_SECONDS = 2.0
_CONNECT_SECONDS = 3.0
READ_SECONDS = 5.0


@asynccontextmanager
async def open_api(
    table: str,
    region: str | None,
    endpoint_url: str | None,
    *,
    service: str = "dynamodb",
    read_seconds: float = READ_SECONDS,
) -> AsyncGenerator[Any]:
    """What `create_api` makes, made in a thread and closed at the end.

    Raises:
        AwsError: There is no region, or a profile that AWS's files don't hold.
    """
    make = partial(
        create_api, table, region, endpoint_url, service=service, read_seconds=read_seconds
    )
    api = await anyio.to_thread.run_sync(make)
    try:
        yield api
    finally:
        api.close()


def create_api(
    table: str,
    region: str | None,
    endpoint_url: str | None,
    *,
    service: str = "dynamodb",
    read_seconds: float = READ_SECONDS,
) -> Any:  # noqa: ANN401
    """Botocore's client, for `table`. Reads AWS's own files and its library's: call it in a thread.

    Without `endpoint_url` the address is AWS's own, or what AWS_ENDPOINT_URL and the like say.

    Raises:
        AwsError: There is no region, or a profile that AWS's files don't hold.
    """
    from botocore.config import Config
    from botocore.session import get_session

    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=read_seconds,
        retries={"total_max_attempts": 1},
        max_pool_connections=THREADS,
    )
    try:
        return get_session().create_client(
            service, region_name=region, endpoint_url=endpoint_url, config=config
        )
    except (BotoCoreError, ValueError) as error:
        raise explain(error, table, region or "") from None


def pauses_at_random() -> Generator[float]:
    """Seconds to wait, without end, each up to twice the limit of the one before.

    At random, so that many who wait for the same come one after another.
    """
    longest = _FIRST_PAUSE_SECONDS
    while True:
        yield random.uniform(0, longest)  # noqa: S311 - no secret
        longest = min(2 * longest, _LONGEST_PAUSE_SECONDS)
