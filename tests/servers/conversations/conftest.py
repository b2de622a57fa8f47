"""What tests of conversations in DynamoDB share: one moto for all tests of a process."""

import os
from collections.abc import Generator
from typing import Any

import pytest

from servers.aws.api import create_api
from tests.fakes.dynamodb_server import CREDENTIALS, REGION, open_aws_server


@pytest.fixture(scope="session")
def aws() -> Generator[str]:
    """Where moto is."""
    os.environ.update(CREDENTIALS)
    with open_aws_server() as address:
        yield address


@pytest.fixture(scope="session")
def api(aws: str) -> Any:
    return create_api("conversations", REGION, aws)
