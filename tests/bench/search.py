"""Search over many messages of a realistic vocabulary: how long, how fast it reads, how large."""

import random
import time
from collections.abc import Iterator
from itertools import accumulate
from statistics import median
from typing import Any

import anyio

from servers.conversations.contract import Message
from servers.conversations.file_engine import open_file_engine
from servers.conversations.file_search import FileSearch, open_file_search
from servers.conversations.file_store import FileConversationStore
from tests.bench.folders import temporary_store
from tests.bench.table import Row
from tests.bench.timing import time_calls_and_work

MAX_RARE_MS = 10.0
MAX_COMMON_MS = 100.0
_OWNER = "bench"
_CONVERSATION_MESSAGES = 250
_VOCABULARY = 50_000
_LETTERS = "etaoinshrdlucmfwypvbgkjqxz"
_RARE = "zebrafinch"
_RARE_COUNT = 20


def make_texts(count: int) -> Iterator[str]:
    """Texts of 5 to 75 words, the n-th word of the vocabulary 1/n as often as the first."""
    chance = random.Random(1)
    words = [f"{chance.choice(_LETTERS)}{_spell(number)}" for number in range(_VOCABULARY)]
    weights = list(accumulate(1 / (number + 1) for number in range(_VOCABULARY)))
    rare = set(chance.sample(range(count), _RARE_COUNT))
    for number in range(count):
        text = " ".join(chance.choices(words, cum_weights=weights, k=chance.randint(5, 75)))
        yield f"{text} {_RARE}" if number in rare else text


def _spell(number: int) -> str:
    spelled = ""
    while number:
        number, letter = divmod(number, len(_LETTERS))
        spelled += _LETTERS[letter]
    return spelled


def common_words() -> list[str]:
    """The two that occur most."""
    chance = random.Random(1)
    return [f"{chance.choice(_LETTERS)}{_spell(number)}" for number in range(5)][3:]


async def measure(*, messages: int, rounds: int) -> list[Row]:
    """Fill a store, bring search up to date, and ask."""
    with temporary_store(in_memory=True) as root:
        async with (
            open_file_engine(root, durability="interval") as engine,
            open_file_search(engine) as search,
        ):
            store = FileConversationStore(engine, search)
            await _fill(store, messages)
            began = time.perf_counter()
            await search.catch_up(3_600)
            rate = messages / (time.perf_counter() - began)
            rows = await _time_queries(store, rounds)
            rows.append(await _time_upkeep(store, search, rounds))
        size = sum(path.stat().st_size for path in root.glob("search.sqlite3*"))
        data = sum(path.stat().st_size for path in root.glob("v1/*/*"))
    return [
        Row(f"search: taking in {messages:,} messages", rate / 1_000, "thousand/s"),
        Row("  size of its index beside the conversations' files", 100 * size / data, "%"),
        *rows,
    ]


async def _fill(store: FileConversationStore, messages: int) -> None:
    batch: list[Message] = []
    for number, text in enumerate(make_texts(messages)):
        role = "assistant" if number % 2 else "user"
        batch.append(Message.model_construct(role=role, content=text, message_id=f"m{number}"))
        if len(batch) == _CONVERSATION_MESSAGES:
            await store.append_messages(_OWNER, f"c{number // _CONVERSATION_MESSAGES}", batch)
            batch = []


async def _time_queries(store: FileConversationStore, rounds: int) -> list[Row]:
    first, second = common_words()
    asked: list[tuple[str, dict[str, Any], float | None]] = [
        (_RARE, {}, MAX_RARE_MS),
        (f"{first} {second}", {}, MAX_COMMON_MS),
        (f'"{first} {second}"', {}, None),
        (f"{first} {_RARE}", {}, None),
        ("e*", {}, None),
        (first, {"conversation_id": "c1"}, None),
        (first, {"role": "tool"}, None),
    ]
    names = [
        "a rare word",
        "two common words",
        "a phrase of them",
        "a common and a rare word",
        "a beginning of one letter",
        "a common word in one conversation",
        "a common word of a role that is not there",
    ]
    rows: list[Row] = []
    for name, (query, filters, limit) in zip(names, asked, strict=True):
        took, worked = await time_calls_and_work(
            lambda query=query, filters=filters: _search(store, query, filters), rounds
        )
        rows += [
            Row(f"  {name}", took, "ms", limit=limit),
            Row("    of the processor", worked, "ms"),
        ]
    return rows


async def _search(store: FileConversationStore, query: str, filters: dict[str, Any]) -> None:
    await store.search_conversations(_OWNER, query, **filters)


async def _time_upkeep(store: FileConversationStore, search: FileSearch, rounds: int) -> Row:
    """A search just after an append."""

    async def append_and_search() -> None:
        message = Message(role="user", content=f"{_RARE} once more")
        await store.append_messages(_OWNER, "c1", [message])
        began = time.perf_counter()
        await _search(store, _RARE, {})
        times.append(time.perf_counter() - began)

    times: list[float] = []
    for _ in range(rounds):
        await append_and_search()
    return Row("  a rare word just after an append", median(times) * 1e3, "ms")


def run(*, quick: bool) -> list[Row]:
    """Rows of this part of the table."""
    if quick:
        return anyio.run(lambda: measure(messages=2_000, rounds=3))
    return anyio.run(lambda: measure(messages=1_000_000, rounds=20))
