"""Calls as the embedded model writes and reads them: objects, with the names."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.llm.local.call_shape import CallShape

TEXT = {"type": "string"}
BOOK = {"properties": {"room": TEXT, "people": {"type": "integer"}, "note": TEXT}}
NEEDED = CallShape.of({**BOOK, "required": ["room", "people"]})
OPTIONAL = CallShape.of(BOOK)
ONE = CallShape.of({"properties": {"zone": TEXT}, "required": ["zone"]})
NONE = CallShape.of({"type": "object"})

values = st.fixed_dictionaries({"room": st.text(), "people": st.integers()})
some = st.fixed_dictionaries({}, optional={"room": st.text(), "people": st.integers()})


WRITTEN: list[tuple[CallShape, list[dict[str, Any]], str]] = [
    (NEEDED, [{"room": "Oak", "people": 6}], '[{"room":"Oak","people":6}]'),
    (NEEDED, [{"people": 6, "room": 'a "b"'}, {"room": "Ä", "people": 1}],
     '[{"room":"a \\"b\\"","people":6},{"room":"Ä","people":1}]'),
    (NEEDED, [{"room": "Oak", "people": 6, "note": "not offered"}], '[{"room":"Oak","people":6}]'),
    (NEEDED, [{"room": "Oak"}], ""),
    (NEEDED, [], ""),
    (ONE, [{"zone": "Asia/Tokyo"}, {"zone": "UTC"}], '[{"zone":"Asia/Tokyo"},{"zone":"UTC"}]'),
    (ONE, [{}], ""),
    (OPTIONAL, [{"note": "x"}, {}, {"time": 1}], '[{"note":"x"},{},{}]'),
    (NONE, [{"a": 1}], ""),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "calls", "written"), WRITTEN)
def test_calls_are_written_in_the_order_of_the_tool(
    shape: CallShape, calls: list[dict[str, Any]], written: str
) -> None:
    assert shape.write(calls) == written


@given(st.lists(values, min_size=1, max_size=4))
def test_what_was_written_is_read_the_same(calls: list[dict[str, Any]]) -> None:
    assert NEEDED.read(NEEDED.write(calls)) == calls


@given(st.lists(some, min_size=1, max_size=4))
def test_objects_are_read_the_same(calls: list[dict[str, Any]]) -> None:
    assert OPTIONAL.read(OPTIONAL.write(calls)) == calls


@pytest.mark.parametrize("shape", [NEEDED, OPTIONAL, ONE, NONE])
def test_a_name_alone_is_a_call_without_arguments(shape: CallShape) -> None:
    assert shape.read("") == [{}]


@pytest.mark.parametrize("written", ["[", '[["Oak",6]]', '["Oak"]', '[{"room":"Oak"', "{}", "[6]"])
def test_what_has_another_shape_is_refused(written: str) -> None:
    with pytest.raises(ValueError):
        NEEDED.read(written)
