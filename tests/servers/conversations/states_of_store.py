"""A state machine: every verb on the embedded store and on the model, which must agree.

Two openings of one directory take turns, as two processes would; they are closed, opened again and
harmed where that must not matter. Ids and owners are such that they collide wherever names are
folded, cut or taken for paths.
"""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import product
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal, NamedTuple

from anyio import fail_after
from anyio.from_thread import start_blocking_portal
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from servers.conversations.contract import Message
from servers.conversations.contract_results import SearchResult
from servers.conversations.file_sealing import Sealing
from servers.conversations.file_store import open_file_store
from servers.conversations.store_errors import ConversationError
from servers.conversations.store_values import AttachmentPart, ConversationUpdate
from tests.servers.conversations.documents import document
from tests.servers.conversations.messages import in_seconds
from tests.servers.conversations.model_store import ModelStore
from tests.servers.conversations.stored_files import file_of, index_files

Key = tuple[str, str]
"""Owner and id."""

OWNERS = ["ada", "Ada"]
IDS = ["a/b", "a_b", "A/B", "../a", "\u00e9", "e\u0301"]
KEYS = list(product(OWNERS, IDS))
OWN_TIMES = ("created_at", "last_updated")
"""Of conversations: each store has its own clock. The order they give is compared."""
SIZES = [1, 50, 3_000, 140_000]
TORN = b'{"seq":99,"kind":"message","left":0,"version"'

keys = st.sampled_from(KEYS)
numbers = st.integers(0, 11)
contents = st.sampled_from(["apple", "Äpple pie", "apple apple pear", "果物 🙂"]) | st.tuples(
    st.sampled_from("xé🙂"), st.sampled_from(SIZES)
).map(lambda pair: pair[0] * (pair[1] // len(pair[0].encode()) or 1))
message_lists = st.lists(
    st.builds(
        Message,
        message_id=numbers.map(lambda n: f"m{n}"),
        role=st.sampled_from(["user", "assistant", "tool", "system"]),
        content=contents,
        turn_id=st.none() | numbers.map(lambda n: f"m{n % 3}"),
        created_at=st.sampled_from(["2020-01-01T00:00:00Z", "1999-01-01T00:00:00+01:00"]),
        annotations=st.none() | st.just({"delivery": "pending"}),
        metadata=st.none() | st.just({"usage": {"input_tokens": 3, "output_tokens": 2**60}}),
    ),
    max_size=4,
)
expectations = st.sampled_from(["none", "none", "current", "current", "stale", "zero"])
limits = st.none() | st.sampled_from([1, 2, 7])
durabilities: st.SearchStrategy[Literal["always", "interval"]]
durabilities = st.sampled_from(["interval", "interval", "always"])
sealings = st.none() | st.sampled_from([Sealing(after_bytes=1_000), Sealing(after_bytes=200_000)])
deliveries = st.sampled_from([None, "pending", "sent", {"state": "sent"}])
changes = st.fixed_dictionaries(
    {}, optional={"delivery": deliveries, "x": st.sampled_from([None, 1, "z" * 2_000])}
)
updates = st.fixed_dictionaries(
    {},
    optional={
        "title": st.sampled_from([None, "one apple", "two"]),
        "tags": st.lists(st.sampled_from(["s", "S", "t"]), max_size=3),
        "metadata": st.dictionaries(st.sampled_from("kl"), st.sampled_from([None, 1, [None]])),
        "expires_at": st.sampled_from([None, "past", "future"]),
    },
)


attachment_ids = st.sampled_from(["a", "A", "../a"])
document_facts = st.fixed_dictionaries(
    {},
    optional={
        "title": st.sampled_from([None, "theirs"]),
        "tags": st.lists(st.sampled_from(["s", "S"]), max_size=2),
        "last_updated": st.sampled_from(["2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"]),
        "expires_at": st.sampled_from([None, "2000-01-01T00:00:00Z", "2999-01-01T00:00:00Z"]),
    },
)


queries = st.sampled_from(["apple", "APP*", '"apple pear"', "pie apple", "果物", "x", "é*", "two"])


def to_hits(found: SearchResult) -> set[tuple[str, str | None, str | None, str]]:
    """What was found. Scores age meanwhile, and conversations begin at each store's own time."""
    return {(hit.conversation_id, hit.message_id, hit.role, hit.snippet) for hit in found.hits}


class Asked(NamedTuple):
    """A call whose answer comes in pages."""

    verb: str
    positional: tuple[Any, ...]
    arguments: Mapping[str, Any]


class StoreMachine(RuleBasedStateMachine):
    """The store under test beside the model."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        directory = self._stack.enter_context(tempfile.TemporaryDirectory())
        self._directory = Path(directory, "store")
        self._portal = self._stack.enter_context(start_blocking_portal())
        self._opened = ExitStack()
        self._stores: list[Any] = []
        self._turn = 0
        self._model = ModelStore()
        self._versions: dict[tuple[Any, ...], dict[int, int]] = {}
        """The store's by the model's."""
        self._used: set[Key] = set()
        self._cursors: list[tuple[Asked, str, str]] = []
        """What was asked for, and the cursors that the store and the model answered."""

    def teardown(self) -> None:
        """Close and remove everything."""
        self._opened.close()
        self._stack.close()

    @initialize(durability=durabilities, sealing=sealings)
    def open(self, durability: Literal["always", "interval"], sealing: Sealing | None) -> None:
        """Open the store twice."""
        self._stores = [
            self._opened.enter_context(
                self._portal.wrap_async_context_manager(
                    open_file_store(self._directory, durability=durability, sealing=sealing)
                )
            )
            for _ in range(2)
        ]

    @rule(durability=durabilities, sealing=sealings, harm=st.sampled_from(["", "index", "tail"]))
    def reopen(
        self, durability: Literal["always", "interval"], sealing: Sealing | None, harm: str
    ) -> None:
        """Close, harm what is no loss, open."""
        self._opened.close()
        if harm == "index":
            for path in index_files(self._directory):
                path.unlink()
        if harm == "tail":
            for path in self._files():
                with path.open("ab") as file:
                    file.write(TORN)
        self.open(durability, sealing)

    @rule(harm=st.sampled_from(["index.sqlite3", "search.sqlite3", "lag"]))
    def remove_what_can_be_made_anew(self, harm: str) -> None:
        """Remove an index, or the signs beside it, under the running stores."""
        for path in self._directory.glob(f"{harm}*"):
            path.unlink()

    @rule(key=keys, messages=message_lists, expected=expectations)
    def append(self, key: Key, messages: Sequence[Message], expected: str) -> None:
        """Append, with repeats and conflicts: there are few ids."""
        self.change(key, "append_messages", messages, expected)

    @rule(key=keys, messages=message_lists, expected=expectations, keep=st.booleans())
    def save(self, key: Key, messages: Sequence[Message], expected: str, *, keep: bool) -> None:
        """Save a list, which may go on after what is stored."""
        stored = self.call(self._model, "load_conversation", *key) if keep else None
        before: list[Message] = stored.messages if stored else []
        ids = {message.message_id for message in before}
        wanted = [*before, *(m for m in messages if m.message_id not in ids)]
        self.change(key, "save_conversation", wanted, expected)

    @rule(key=keys, number=numbers, annotations=changes)
    def annotate(self, key: Key, number: int, annotations: Mapping[str, Any]) -> None:
        """Annotate a message that may be there."""
        self.both("annotate_message", *key, f"m{number}", annotations)

    @rule(key=keys, update=updates)
    def update(self, key: Key, update: dict[str, Any]) -> None:
        """Change facts; one that has expired is gone."""
        times = {"past": in_seconds(-1), "future": in_seconds(10_000), None: None}
        if "expires_at" in update:
            update = {**update, "expires_at": times[update["expires_at"]]}
        self.both("update_conversation", *key, ConversationUpdate(**update))

    @rule(key=keys)
    def delete(self, key: Key) -> None:
        """Delete what may be there."""
        self.both("delete_conversation", *key)

    @rule(
        owner=st.sampled_from(OWNERS),
        query=queries,
        role=st.none() | st.sampled_from(["user", "tool"]),
        since=st.none() | st.just("2010-01-01T00:00:00Z"),
        conversation_id=st.none() | st.sampled_from(IDS),
    )
    def search(self, owner: str, query: str, **filters: str | None) -> None:
        """Search, until all that is stored could be searched."""
        wanted = {"limit": 100, **filters}
        theirs = self.call(self._model, "search_conversations", owner, query, **wanted)
        for store in [*self._stores] * 10:
            ours = self.call(store, "search_conversations", owner, query, **wanted)
            if not ours.truncated:
                assert to_hits(ours) == to_hits(theirs)
                return
        raise AssertionError("not all that is stored could be searched")

    @rule(key=keys, messages=message_lists, facts=document_facts)
    def import_document(
        self, key: Key, messages: Sequence[Message], facts: Mapping[str, Any]
    ) -> None:
        """Import a page, which may make the conversation, add to it or be stored already."""
        given = document(messages, owner="mallory", **facts)
        self.both("import_conversation", key[0], given, conversation_id=key[1], key=key)

    @rule(key=keys, number=st.none() | numbers, new_id=st.sampled_from(IDS))
    def fork(self, key: Key, number: int | None, new_id: str) -> None:
        """Fork up to a message that may be there, to an id that may be free."""
        self.both(
            "fork_conversation",
            *key,
            up_to_message_id=None if number is None else f"m{number}",
            new_conversation_id=new_id,
            key=(key[0], new_id),
        )

    @rule(
        key=keys,
        sources=st.lists(st.sampled_from(IDS), min_size=1, max_size=3),
        among_them=st.sampled_from([True, True, False]),
    )
    def merge(self, key: Key, sources: Sequence[str], *, among_them: bool) -> None:
        """Merge what may be there, into one of them, another or a new one."""
        sources = [*sources, key[1]] if among_them else sources
        self.both("merge_conversations", key[0], sources, key[1], key=key)

    @rule(key=keys)
    def export(self, key: Key) -> None:
        """Export all pages."""
        cursors: tuple[str | None, str | None] = (None, None)
        for _ in range(100):
            ours, theirs = self.both("export_conversation", *key, differing={"cursor": cursors})
            if isinstance(theirs, ConversationError) or theirs.next_cursor is None:
                return
            cursors = (ours.next_cursor, theirs.next_cursor)
        raise AssertionError("the pages have no end")

    @rule(
        key=keys,
        attachment_id=attachment_ids,
        place=st.sampled_from([0, 0, 2, 3]),
        data=st.sampled_from([b"", b"abc", b"abcdef", b"xyz"]),
        total_size=st.sampled_from([None, 6]),
    )
    def put_attachment(
        self, key: Key, attachment_id: str, place: int, data: bytes, total_size: int | None
    ) -> None:
        """Put a chunk, which may overlap what is there, be other than that, or leave a gap."""
        chunk = data[place:]
        self.both(
            "put_attachment",
            *key,
            chunk,
            name="n",
            mime_type="text/plain",
            attachment_id=attachment_id,
            offset=place,
            total_size=total_size,
        )

    @rule(key=keys, attachment_id=attachment_ids, offset=st.integers(0, 7))
    def read_attachment(self, key: Key, attachment_id: str, offset: int) -> None:
        """Read what may be there, from somewhere on."""
        self.both("read_attachment", *key, attachment_id, offset=offset)

    @rule(key=keys)
    def list_attachments(self, key: Key) -> None:
        """List all; their order is the store's own."""
        self.both("list_attachments", *key)

    @rule(key=keys, limit=limits)
    def load(self, key: Key, limit: int | None) -> None:
        """Load the newest page."""
        self.page("load_conversation", *key, limit=limit)

    @rule(
        owner=st.sampled_from(OWNERS),
        limit=st.sampled_from([1, 2, 100]),
        tag=st.sampled_from([None, "s"]),
    )
    def list_newest(self, owner: str, limit: int, tag: str | None) -> None:
        """List the newest conversations."""
        self.page("list_conversations", owner, limit=limit, tag=tag)

    @rule(
        state=st.sampled_from(["pending", "sent"]),
        owner=st.none() | st.sampled_from(OWNERS),
        limit=st.sampled_from([1, 100]),
    )
    def list_deliveries(self, state: str, owner: str | None, limit: int) -> None:
        """List deliveries."""
        self.page("list_deliveries", state, owner=owner, limit=limit)

    @rule(limit=st.sampled_from([1, 100]))
    def list_owners(self, limit: int) -> None:
        """List owners."""
        self.page("list_owners", limit=limit)

    @precondition(lambda self: self._cursors)
    @rule(data=st.data())
    def go_on(self, data: st.DataObject) -> None:
        """Use a cursor that was answered some time ago."""
        asked, ours, theirs = data.draw(st.sampled_from(self._cursors))
        name = "before" if asked.verb == "load_conversation" else "cursor"
        self.page(
            asked.verb, *asked.positional, differing={name: (ours, theirs)}, **asked.arguments
        )

    @invariant()
    def every_conversation_is_what_the_model_holds(self) -> None:
        """All of it, whichever opening is asked."""
        for key in sorted(self._used):
            self.both("get_conversation", *key)
            self.both("load_conversation", *key)
        for owner in sorted({owner for owner, _ in self._used}):
            self.both("list_conversations", owner)

    def change(self, key: Key, verb: str, messages: Sequence[Message], expected: str) -> None:
        """A verb with an `expected_version`, which each store counts in its own way."""
        known = self._versions.get(key, {0: 0})
        match expected:
            case "none":
                self.both(verb, *key, messages)
                return
            case "current":
                of_model = self.call(self._model, "load_conversation", *key).version
            case "stale":
                of_model = sorted(known)[-2:][0]
            case _:
                of_model = 0
        versions = (known[of_model], of_model)
        self.both(verb, *key, messages, differing={"expected_version": versions})

    def page(self, verb: str, *positional: Any, **arguments: Any) -> None:
        """A verb whose answer may hold a cursor, which is kept."""
        ours, theirs = self.both(verb, *positional, **arguments)
        if not isinstance(theirs, ConversationError) and theirs.next_cursor:
            arguments.pop("differing", None)
            self._cursors.append(
                (Asked(verb, positional, arguments), ours.next_cursor, theirs.next_cursor)
            )

    def both(
        self,
        verb: str,
        *positional: Any,
        differing: Mapping[str, tuple[Any, Any]] | None = None,
        key: tuple[Any, ...] | None = None,
        **arguments: Any,
    ) -> tuple[Any, Any]:
        """Call the store and the model and compare what they answer, of `key` if they say so."""
        self._turn += 1
        key = key or tuple(positional[:2])
        self._used |= {used for used in KEYS if used == key}
        pairs = (differing or {}).items()
        store = self._stores[self._turn % 2]
        ours = self.call(store, verb, *positional, **arguments, **{n: a for n, (a, _) in pairs})
        theirs = self.call(
            self._model, verb, *positional, **arguments, **{n: b for n, (_, b) in pairs}
        )
        self.compare(ours, theirs, key)
        return ours, theirs

    def call(self, store: object, verb: str, *positional: Any, **arguments: Any) -> Any:
        """The answer, or the error."""

        async def ask() -> Any:
            try:
                with fail_after(30):
                    return await getattr(store, verb)(*positional, **arguments)
            except ConversationError as error:
                return error

        return self._portal.call(ask)

    def compare(self, ours: Any, theirs: Any, key: tuple[Any, ...]) -> None:
        """Whether two answers are the same, as far as the contract says what they are."""
        if isinstance(theirs, ConversationError):
            assert type(ours) is type(theirs), repr(ours)
            self.compare_versions(key, ours.current_version, theirs.current_version)
            return
        assert not isinstance(ours, ConversationError), repr(ours)
        if isinstance(theirs, AttachmentPart):
            assert ours == theirs
            return
        mine, other = ours.model_dump(), theirs.model_dump()
        if "document" in mine:
            mine, other = mine["document"], other["document"]
            assert mine["messages"] == other["messages"]
            mine, other = mine["conversation"], other["conversation"]
        if "attachments" in mine:
            for told in (mine, other):
                told["attachments"].sort(key=itemgetter("attachment_id"))
        if "next_cursor" in mine:
            assert bool(mine.pop("next_cursor")) == bool(other.pop("next_cursor"))
        if "conversations" in mine:
            for one, two in zip(mine["conversations"], other["conversations"], strict=True):
                self.compare_facts(one, two, (one["owner"], one["conversation_id"]))
        else:
            self.compare_facts(mine, other, key)

    def compare_facts(
        self, mine: dict[str, Any], other: dict[str, Any], key: tuple[Any, ...]
    ) -> None:
        """The facts of a conversation, or what a verb says of it."""
        if "version" in mine:
            self.compare_versions(key, mine.pop("version"), other.pop("version"))
        for name in OWN_TIMES if "owner" in mine else ():
            mine.pop(name)
            other.pop(name)
        assert mine == other, {
            name: (mine[name], other[name]) for name in other if mine[name] != other[name]
        }

    def compare_versions(self, key: tuple[Any, ...], mine: int | None, other: int | None) -> None:
        """Equal to what was told for the model's version before, or greater than all before."""
        known = self._versions.setdefault(key, {0: 0})
        if mine is None or other is None or other in known:
            assert mine == (None if other is None else known[other])
        else:
            assert mine > max(known.values())
            known[other] = mine

    def _files(self) -> list[Path]:
        paths = [file_of(self._directory, i, owner) for owner, i in KEYS]
        return [path for path in paths if path.exists()]
