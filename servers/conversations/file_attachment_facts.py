"""What an attachment is, as the file beside its bytes tells it."""

import zlib

from pydantic import BaseModel, ConfigDict, ValidationError

BLOCK_BYTES = 512 * 1024
"""What a checksum is made of: reading a part reads little more than that part."""


class DamagedError(Exception):
    """An attachment's files are not as they were written."""


class AttachmentFacts(BaseModel):
    """What an attachment is, and how far it has come."""

    model_config = ConfigDict(frozen=True, strict=True)

    attachment_id: str
    name: str
    mime_type: str
    total_size: int | None
    created_at: str
    size: int = 0
    crcs: tuple[int, ...] = ()
    """CRC-32 of each block of the bytes."""

    @property
    def is_complete(self) -> bool:
        """Whether all bytes are there."""
        return self.total_size is None or self.size == self.total_size

    def grown(self, data: bytes) -> "AttachmentFacts":
        """The facts when `data` is there too."""
        crcs, size, rest = list(self.crcs), self.size, memoryview(data)
        while rest:
            part = rest[: BLOCK_BYTES - size % BLOCK_BYTES]
            before = crcs.pop() if size % BLOCK_BYTES else 0
            crcs.append(zlib.crc32(part, before))
            size, rest = size + len(part), rest[len(part) :]
        return self.model_copy(update={"size": size, "crcs": tuple(crcs)})

    def encode(self) -> bytes:
        """As its file holds it."""
        data = self.model_dump_json().encode()
        return b"%b\n%08x\n" % (data, zlib.crc32(data))

    @classmethod
    def parse(cls, text: bytes) -> "AttachmentFacts":
        """What `encode` gave.

        Raises:
            DamagedError: It is not as it was written.
        """
        data, _, check = text.partition(b"\n")
        if check != b"%08x\n" % zlib.crc32(data):
            raise DamagedError
        try:
            return cls.model_validate_json(data)
        except ValidationError:
            raise DamagedError from None
