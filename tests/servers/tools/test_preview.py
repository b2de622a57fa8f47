"""The request of a declaration in words, as `agentic tools test` shows it."""

from typing import Any

import pytest

from agentic.config.tools import ToolConfig
from servers.tools.declared import DeclaredTool
from servers.tools.preview import render_request


def _show(arguments: dict[str, object], **fields: Any) -> str:
    config = ToolConfig.model_validate({"url": "https://h.example/a", **fields})
    return "\n".join(render_request(config, DeclaredTool("t", config).prepare(arguments)))


def test_it_is_shown_as_http_writes_it() -> None:
    shown = _show(
        {"id": 7, "name": "Ada"}, url="https://h.example:8443/users/{id}?lang=de", method="PUT",
        body="json", parameters={"id": "integer", "name": "string"}, headers={"X-Team": "otters"},
    )  # fmt: skip
    assert shown.startswith("PUT https://h.example:8443/users/7?lang=de\nx-request-id: ")
    assert "\nx-team: otters\n" in shown
    assert shown.endswith('\n\n{"name":"Ada"}')


@pytest.mark.parametrize(
    "fields",
    [
        {"token": "s3cret-key"},
        {"auth": {"bearer": "s3cret-key"}},
        {"auth": {"basic": {"user": "ada", "password": "s3cret-key"}}},
        {"auth": {"header": {"name": "X-Who", "value": "s3cret-key"}}},
        {"auth": {"query": {"name": "who", "value": "s3cret-key"}}},
        {"url": "https://ada:s3cret-key@h.example/"},
        {"url": "https://h.example/?api_key=s3cret-key"},
        {"url": "https://h.example/hooks/s3cret-key-0123456789"},
        {"headers": {"X-API-Key": "s3cret-key"}},
        {"query": {"token": "s3cret-key"}},
        {
            "auth": {
                "oauth": {
                    "token_url": "https://h/t", "client_id": "i", "client_secret": "s3cret-key",
                }
            }
        },
    ],
)  # fmt: skip
def test_no_secret_is_in_it(fields: dict[str, Any]) -> None:
    shown = _show({"q": "word"}, parameters={"q": "string"}, **fields)
    assert "word" in shown
    assert "***" in shown or "@" in fields["url"]
    assert "s3cret-key" not in shown
