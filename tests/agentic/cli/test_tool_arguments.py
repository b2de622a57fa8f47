"""Arguments as they are typed become what the tool's schema wants."""

import pytest

from agentic.cli.failures import UsageError
from agentic.cli.tool_arguments import parse_arguments

SCHEMA = {
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "tags": {"type": "array"},
        "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "mode": {"enum": ["1", "2"]},
    }
}


def test_values_are_json_where_the_schema_wants_no_text() -> None:
    words = ["text=5", "count=5", 'tags=["a"]', "maybe=7", "mode=1", "unknown=true", "plain=a=b"]
    assert parse_arguments(words, SCHEMA) == {
        "text": "5",
        "count": 5,
        "tags": ["a"],
        "maybe": "7",
        "mode": "1",
        "unknown": True,
        "plain": "a=b",
    }


def test_one_json_object_is_taken_as_it_is() -> None:
    assert parse_arguments(['{"text": 5}'], SCHEMA) == {"text": 5}


@pytest.mark.parametrize(
    "words", [["text"], ["=x"], ["{broken"], ["a=1", "a=2"], ["{}", "a=1"], ["[" * 9]]
)
def test_anything_else_is_refused_with_a_sentence(words: list[str]) -> None:
    with pytest.raises(UsageError):
        parse_arguments(words, SCHEMA)
