import pytest

from tests.client.llm.vendors import ANTHROPIC, BEDROCK, OPENAI, Vendor
from tests.fakes.aws_signature import ENVIRONMENT


@pytest.fixture(params=[ANTHROPIC, OPENAI, BEDROCK], ids=lambda vendor: vendor.provider)
def vendor(request: pytest.FixtureRequest) -> Vendor:
    return request.param


@pytest.fixture(autouse=True)
def aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS's library reads the environment of the process, and nothing else, for its settings."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
