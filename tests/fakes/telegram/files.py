"""Files that people and the bot sent, kept in memory."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import imagesize  # pyright: ignore[reportMissingTypeStubs] - it has types itself
from aiogram.types import BufferedInputFile, InputFile

from tests.fakes.telegram.forms import Upload
from tests.fakes.telegram.refusals import RefusedError, bad_request

MAX_DOWNLOAD_BYTES = 20 * 1024 * 1024
MAX_UPLOAD_BYTES = 50 * 1024 * 1024
MAX_PHOTO_BYTES = 10 * 1024 * 1024
_MAX_KEPT_BYTES = 256 * 1024 * 1024
_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file under its id."""

    file_id: str
    kind: str
    name: str
    data: bytes
    mime_type: str

    @property
    def path(self) -> str:
        """Where it can be fetched."""
        suffix = self.name.rpartition(".")[2] if "." in self.name else "bin"
        return f"{self.kind}s/file_{self.file_id.rpartition('-')[2]}.{suffix}"

    def to_json(self) -> dict[str, Any]:
        """What every kind of file says of itself."""
        return {
            "file_id": self.file_id,
            "file_unique_id": f"u{self.file_id.rpartition('-')[2]}",
            "file_size": len(self.data),
        }

    def to_media(self) -> dict[str, Any]:
        """The part of a message that shows it: `{"document": {…}}`."""
        facts = self.to_json()
        match self.kind:
            case "photo":
                return {"photo": [{**facts, "width": 90, "height": 90}]}
            case "voice":
                return {"voice": {**facts, "duration": 1, "mime_type": self.mime_type}}
            case "video_note":
                return {"video_note": {**facts, "duration": 1, "length": 240}}
            case _:
                facts |= {"file_name": self.name, "mime_type": self.mime_type}
        match self.kind:
            case "audio":
                return {"audio": {**facts, "duration": 1}}
            case "video":
                return {"video": {**facts, "duration": 1, "width": 90, "height": 90}}
            case "animation":
                shown = {**facts, "duration": 1, "width": 90, "height": 90}
                return {"animation": shown, "document": facts}
            case _:
                return {"document": facts}


class Files:
    """All of them, by id and by path."""

    def __init__(self) -> None:
        self._by_id: dict[str, StoredFile] = {}
        self._bytes = 0

    def keep(self, kind: str, name: str, data: bytes, mime_type: str) -> StoredFile:
        """A new file."""
        self._bytes += len(data)
        if self._bytes > _MAX_KEPT_BYTES:
            raise RefusedError(500, "Internal Server Error: the fake keeps no more files")
        file_id = f"AgAC{kind}-{len(self._by_id) + 1}"
        file = StoredFile(file_id, kind, name, data, mime_type)
        self._by_id[file_id] = file
        return file

    def by_id(self, file_id: str) -> StoredFile:
        """A file as it came."""
        return self._by_id[file_id]

    def get_file(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """`getFile`."""
        file = self._by_id.get(parameters["file_id"])
        if file is None:
            raise bad_request("wrong file_id or the file is temporarily unavailable")
        if len(file.data) > MAX_DOWNLOAD_BYTES:
            raise bad_request("file is too big")
        return {**file.to_json(), "file_path": file.path}

    def at_path(self, path: str) -> StoredFile | None:
        """What `/file/bot<token>/<path>` gives."""
        for file in self._by_id.values():
            if file.path == path and len(file.data) <= MAX_DOWNLOAD_BYTES:
                return file
        return None

    def take(self, kind: str, given: object, uploads: Mapping[str, Upload]) -> StoredFile:
        """The file that a parameter means: an upload, a part of the form, or one known by its id.

        Raises:
            RefusedError: There is none, or it is not one that can be sent so.
        """
        if isinstance(given, BufferedInputFile):
            name = given.filename or "file"
            mime_type = next((u.mime_type for u in uploads.values() if u.name == name), "")
            return self._take_upload(kind, Upload(name, given.data, mime_type))
        if isinstance(given, InputFile) or not isinstance(given, str) or not given:
            raise bad_request(f"there is no {kind} in the request")
        if given.startswith("attach://"):
            upload = uploads.get(given.removeprefix("attach://"))
            if upload is None:
                raise bad_request(f"there is no {kind} in the request")
            return self._take_upload(kind, upload)
        if given.startswith(("http://", "https://")):
            raise bad_request("failed to get HTTP URL content")  # the fake has no web
        if (file := self._by_id.get(given)) is None:
            raise bad_request("wrong file identifier/HTTP URL specified")
        if file.kind != kind:
            raise bad_request(f"can't use file of type {file.kind.title()} as {kind.title()}")
        return file

    def _take_upload(self, kind: str, upload: Upload) -> StoredFile:
        if not upload.data:
            raise bad_request("file must be non-empty")
        if len(upload.data) > MAX_UPLOAD_BYTES:
            raise RefusedError(413, "Request Entity Too Large")
        if kind == "photo":
            if len(upload.data) > MAX_PHOTO_BYTES:
                raise bad_request("file is too big")
            if not upload.data.startswith(_PICTURES):
                raise bad_request("IMAGE_PROCESS_FAILED")
            _check_sides(upload.data)
        return self.keep(kind, upload.name, upload.data, upload.mime_type)


def _check_sides(data: bytes) -> None:
    width, height = imagesize.get(io.BytesIO(data))  # pyright: ignore[reportUnknownMemberType]
    if width + height > 10_000 or max(width, height) > 20 * min(width, height) > 0:
        raise bad_request("PHOTO_INVALID_DIMENSIONS")
