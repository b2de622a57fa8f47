"""JSON is taken apart rightly, however it is written and whatever pieces it comes in."""

import io
import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentic.cli.imports.failures import BrokenFileError
from agentic.cli.imports.json_reader import JsonReader

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
few = settings(max_examples=50, deadline=None)


def reader_of(data: bytes, chunk_bytes: int = 1_000) -> JsonReader:
    file = io.BytesIO(data)
    return JsonReader(lambda wanted: file.read(min(wanted, chunk_bytes)))


def elements_of(reader: JsonReader, max_bytes: int = 10_000) -> Iterator[Any]:
    for _ in reader.elements():
        raw = reader.value(max_bytes)
        yield None if raw is None else json.loads(raw)


@few
@given(st.lists(JSON), st.integers(1, 40), st.booleans(), st.sampled_from([None, 1]), st.booleans())
@pytest.mark.slow
def test_an_array_is_read_element_by_element(
    values: list[Any], chunk_bytes: int, ascii_only: bool, indent: int | None, marked: bool
) -> None:
    text = json.dumps(values, ensure_ascii=ascii_only, indent=indent)
    data = text.encode("utf-8-sig" if marked else "utf-8", "replace")
    reader = reader_of(data, chunk_bytes)
    expected = json.loads(text.encode("utf-8", "replace"))
    assert list(elements_of(reader)) == expected
    assert reader.peek() == b""


@few
@given(st.dictionaries(st.text(st.characters(codec="utf-8")), JSON), st.integers(1, 40))
def test_an_object_is_read_member_by_member(value: dict[str, Any], chunk_bytes: int) -> None:
    reader = reader_of(json.dumps(value).encode(), chunk_bytes)
    read = [(name, json.loads(reader.value(10_000) or b"")) for name in reader.members()]
    assert read == list(value.items())


@pytest.mark.parametrize("large", ['"' + "x" * 5_000 + '"', "[" * 5_000 + "]" * 5_000, "1" * 5_000])
def test_a_piece_that_is_too_large_is_passed_over(large: str) -> None:
    reader = reader_of(f'[1, {large}, "after"]'.encode())
    assert list(elements_of(reader, 100)) == [1, None, "after"]


def test_a_string_without_end_does_not_fill_memory() -> None:
    left = [200]

    def read(_wanted: int) -> bytes:
        left[0] -= 1
        return b'["' if left[0] == 199 else b"x" * 100_000 if left[0] > 0 else b""

    tracemalloc.start()
    try:
        with pytest.raises(BrokenFileError, match="breaks off in the middle, after 19"):
            list(elements_of(JsonReader(read)))
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_many_brackets_take_no_more_memory_than_their_bytes() -> None:
    data = b"[" + b"{}," * 50_000 + b"{}]"
    reader = reader_of(data, 64 * 1024)
    tracemalloc.start()
    try:
        assert reader.value(len(data)) == data
        assert tracemalloc.get_traced_memory()[1] < 3 * len(data)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1, 2", "breaks off in the middle, after 5 bytes"),
        ("[1,", "breaks off in the middle"),
        ("[1 2]", "byte 3 on: a comma or a ]"),
        ("[1,]", "byte 3 on: a value is missing"),
        ("{}", r"byte 0 on: a \[ is missing"),
        ('["abc', "breaks off in the middle, after 5"),
        ('["abc\\', "breaks off in the middle, after 6"),
    ],
)
def test_where_the_text_breaks_is_told_each_time_it_is_asked_for(text: str, reason: str) -> None:
    reader = reader_of(text.encode())
    with pytest.raises(BrokenFileError, match=reason):
        list(elements_of(reader))
    with pytest.raises(BrokenFileError, match=reason):
        reader.peek()


def test_text_in_utf_16_is_named() -> None:
    with pytest.raises(BrokenFileError, match="UTF-16, save it as UTF-8"):
        reader_of("[]".encode("utf-16")).peek()
