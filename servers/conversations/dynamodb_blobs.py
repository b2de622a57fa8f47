"""Where the bytes of attachments lie: in items beside their conversation, or in an S3 bucket."""

from typing import Protocol

from servers.aws.dynamodb import DynamoDBClient
from servers.conversations.store_errors import UnavailableError

_PIECE_BYTES = 300_000


class Blobs(Protocol):
    """Named bytes, each written once."""

    @property
    def place(self) -> str:
        """The name of the bucket, empty for the table."""
        ...

    async def put(self, pk: str, name: str, data: bytes) -> None:
        """Keep bytes under a name that is new."""
        ...

    async def get(self, pk: str, name: str, size: int, first: int, last: int) -> bytes:
        """Those from `first` to `last`, which is left out, of `size` in all.

        Raises:
            UnavailableError: They are not all there.
        """
        ...

    async def remove(self, pk: str, name: str, size: int) -> None:
        """Forget them, if they are there."""
        ...

    async def remove_before(self, pk: str, life: int) -> None:
        """Forget what lies beside the conversation's items and is of a life before this one.

        A name begins with the digits of the life that it is of.
        """
        ...


class ItemBlobs:
    """Bytes in items of the table."""

    place = ""

    def __init__(self, client: DynamoDBClient) -> None:
        self._client = client

    async def put(self, pk: str, name: str, data: bytes) -> None:
        """See `Blobs`."""
        await self._client.write_all(
            [
                {"pk": pk, "sk": _key(name, number), "d": data[at : at + _PIECE_BYTES]}
                for number, at in enumerate(range(0, len(data), _PIECE_BYTES))
            ]
        )

    async def get(self, pk: str, name: str, size: int, first: int, last: int) -> bytes:
        """See `Blobs`."""
        parts: list[bytes] = []
        begin = first // _PIECE_BYTES
        for number in range(begin, -(-last // _PIECE_BYTES)):
            item = await self._client.get(pk, _key(name, number))
            data = item and item.get("d")
            if not isinstance(data, bytes):
                raise missing(size, "the table")
            parts.append(data)
        start = first - begin * _PIECE_BYTES
        found = b"".join(parts)[start : start + last - first]
        if len(found) != last - first:
            raise missing(size, "the table")
        return found

    async def remove(self, pk: str, name: str, size: int) -> None:
        """See `Blobs`."""
        count = -(-size // _PIECE_BYTES)
        await self._client.write_all([], [(pk, _key(name, number)) for number in range(count)])

    async def remove_before(self, pk: str, life: int) -> None:
        """Nothing lies beside them: they go with the other items."""


def _key(name: str, number: int) -> str:
    return f"Q#{name}#{number:04d}"


def missing(size: int, where: str) -> UnavailableError:
    """What to say of bytes that are not there."""
    return UnavailableError(
        f"bytes of this attachment ({size} in a piece of it) are missing in {where}: put it "
        "again, or restore them from a back-up"
    )
