import pytest

from tests.client.llm.vendors import ANTHROPIC, OPENAI, Vendor


@pytest.fixture(params=[ANTHROPIC, OPENAI], ids=lambda vendor: vendor.provider)
def vendor(request: pytest.FixtureRequest) -> Vendor:
    return request.param
