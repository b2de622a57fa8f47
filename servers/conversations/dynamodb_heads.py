"""Heads of attachments in DynamoDB: what each is, where its bytes lie, and how many there are."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from servers.aws.dynamodb import Attributes, Put, TakenError
from servers.conversations.contract_attachments import MAX_ATTACHMENTS
from servers.conversations.contract_results import StoredAttachment
from servers.conversations.dynamodb_states import State
from servers.conversations.dynamodb_writes import Writer
from servers.conversations.store_errors import InvalidError

_FREE = "attribute_not_exists(pk)"
_DIGITS = 32


class Piece(NamedTuple):
    """Bytes of an attachment that were put together."""

    name: str
    size: int


class Head(BaseModel):
    """What an attachment is, and how far it has come."""

    model_config = ConfigDict(frozen=True)

    attachment_id: str
    name: str
    mime_type: str
    total_size: int | None
    begun_at: str
    pieces: tuple[Piece, ...] = ()
    places: tuple[str, ...] = ()
    """Where each piece lies; fewer than pieces if a program put them that did not say."""
    stored: str = Field(default="", exclude=True)
    """As it was read."""

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return sum(piece.size for piece in self.pieces)

    @property
    def is_complete(self) -> bool:
        """Whether it can be read."""
        return self.total_size is None or self.size == self.total_size

    def place_of(self, number: int) -> str | None:
        """Where a piece lies; None: where bytes went when it was put."""
        return self.places[number] if len(self.places) == len(self.pieces) else None

    def grown(self, piece: Piece, place: str, *, instead_of_last: bool) -> "Head":
        """The head with one more piece, or another last one."""
        kept = len(self.pieces) - instead_of_last
        update: dict[str, object] = {"pieces": (*self.pieces[:kept], piece)}
        if len(self.places) == len(self.pieces):
            update["places"] = (*self.places[:kept], place)
        return self.model_copy(update=update)

    def to_stored(self) -> StoredAttachment:
        """As it is told of."""
        return StoredAttachment(
            attachment_id=self.attachment_id,
            name=self.name,
            mime_type=self.mime_type,
            size=self.size,
        )

    @classmethod
    def parse(cls, item: Attributes) -> "Head | None":
        """What an item says; None if it is not as we write it."""
        text = str(item.get("e"))
        try:
            return cls.model_validate_json(text).model_copy(update={"stored": text})
        except ValidationError:
            return None

    async def replace(self, writer: Writer, state: State, known: "Head") -> bool:
        """Put it in the place of what was known; False: somebody else was faster."""
        try:
            await writer.client.put(self._to_item(state), "e = :e", {":e": known.stored})
        except TakenError as taken:
            return self._is(taken)
        return True

    async def begin(self, writer: Writer, state: State, counter: "Counter") -> bool:
        """Put it in as a new one, counted; False: somebody else was faster."""
        puts = [Put(self._to_item(state), _FREE), counter.changed(count=counter.begun + 1)]
        try:
            await writer.client.write_together(puts)
        except TakenError as taken:
            return self._is(taken)
        return True

    def _to_item(self, state: State) -> Attributes:
        return {
            "pk": state.pk,
            "sk": key_of(state.life, self.attachment_id),
            "e": self.model_dump_json(),
        }

    def _is(self, taken: TakenError) -> bool:
        return taken.item is not None and taken.item.get("e") == self.model_dump_json()


class Counter(NamedTuple):
    """How many attachments a conversation has, and the buckets that may hold bytes of them."""

    key: Attributes
    found: Attributes | None

    @property
    def begun(self) -> int:
        """How many were begun."""
        return int(self.found["v"]) if self.found is not None else 0

    @property
    def buckets(self) -> Sequence[str]:
        """Told of before the first byte goes there, so that a deletion finds all."""
        return buckets_in(self.found or {})

    def check_room(self) -> None:
        """Raise `InvalidError` if there may not be one more."""
        if self.begun >= MAX_ATTACHMENTS:
            raise InvalidError(
                f"a conversation has at most {MAX_ATTACHMENTS} attachments: use another one",
                field="attachment_id",
            )

    async def name_bucket(self, writer: Writer, bucket: str) -> "Counter | None":
        """Tell of one more, if it isn't; None: somebody else changed it."""
        if not bucket or bucket in self.buckets:
            return self
        put = self.changed(buckets=(*self.buckets, bucket))
        try:
            await writer.client.put(*put)
        except TakenError:
            return None
        return self._replace(found=put.item)

    def changed(self, *, count: int | None = None, buckets: Sequence[str] | None = None) -> Put:
        """What makes it so, if it is still as it was found."""
        item = {**self.key, "v": self.begun if count is None else count}
        if names := self.buckets if buckets is None else buckets:
            item["b"] = " ".join(names)
        if self.found is None:
            return Put(item, _FREE)
        if "b" in self.found:
            return Put(item, "v = :v AND b = :b", {":v": self.begun, ":b": self.found["b"]})
        return Put(item, "v = :v AND attribute_not_exists(b)", {":v": self.begun})


def buckets_in(item: Attributes) -> list[str]:
    """The buckets that an item of a counter names."""
    return str(item.get("b", "")).split()


async def find_head(writer: Writer, state: State, attachment_id: str) -> Head | None:
    """That of one attachment; None: there is none that can be read."""
    item = await writer.client.get(state.pk, key_of(state.life, attachment_id))
    return None if item is None else Head.parse(item)


async def find_heads(
    writer: Writer, state: State, after: str | None = None, items: int | None = None
) -> AsyncIterator[Head | None]:
    """Those of a life by their keys, from behind one on, so many at once. None: damaged."""
    values = {
        ":pk": state.pk,
        ":first": f"F#{state.life:016d}#" if after is None else key_of(state.life, after),
        ":last": f"F#{state.life:016d}#~",
    }
    start = None
    while True:
        found, start = await writer.client.query(
            "pk = :pk AND sk BETWEEN :first AND :last", values, limit=items, start=start
        )
        for item in found:
            if after is None or item["sk"] != values[":first"]:
                yield Head.parse(item)
        if start is None:
            return


async def find_counter(writer: Writer, state: State) -> Counter:
    """That of a conversation's life."""
    sk = f"N#{state.life:016d}"
    return Counter({"pk": state.pk, "sk": sk}, await writer.client.get(state.pk, sk))


def key_of(life: int, attachment_id: str) -> str:
    """Sort key of an attachment."""
    return f"F#{life:016d}#{to_digits(attachment_id)}"


def to_digits(attachment_id: str) -> str:
    """As part of a key, which has 1,024 bytes."""
    return hashlib.sha256(attachment_id.encode()).hexdigest()[:_DIGITS]
