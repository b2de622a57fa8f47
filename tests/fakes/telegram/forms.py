"""The parameters and files of a request, however it was sent: query, form, JSON or multipart."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import parse_qsl

import python_multipart
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File

from tests.fakes.telegram.http import MAX_BODY_BYTES, HttpRequest


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that came with a request."""

    name: str
    data: bytes
    mime_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Form:
    """What was sent, by name. Of JSON bodies values keep their type, else they are text."""

    values: dict[str, Any] = field(default_factory=dict[str, Any])
    files: dict[str, Upload] = field(default_factory=dict[str, Upload])


def read_form(request: HttpRequest) -> Form:
    """Query and body together.

    Raises:
        ValueError: The body is not what its content type says, or of an unknown one.
    """
    if not request.body:
        return Form(dict(request.query))
    match request.content_type:
        case "application/json":
            values = json.loads(request.body)
            if not isinstance(values, dict):
                raise ValueError("the JSON body is no object")  # noqa: TRY004 - as others here
            return Form({**request.query, **cast("dict[str, Any]", values)})
        case "application/x-www-form-urlencoded":
            text = request.body.decode("utf-8")
            pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True)
            return Form({**request.query, **dict(pairs)})
        case "multipart/form-data":
            return _read_multipart(request.headers, request.body, request.query)
        case other:
            raise ValueError(f"unsupported content type {other!r}")


def _read_multipart(headers: Mapping[str, str], body: bytes, query: Mapping[str, str]) -> Form:
    form = Form(dict(query))

    def take_value(part: Field) -> None:
        if part.field_name is not None:
            form.values[part.field_name.decode("utf-8")] = (part.value or b"").decode("utf-8")

    def take_file(part: File) -> None:
        part.file_object.seek(0)
        form.files[(part.field_name or b"").decode("utf-8")] = Upload(
            name=(part.file_name or b"file").decode("utf-8"),
            data=part.file_object.read(),
            mime_type=part.content_type or "application/octet-stream",
        )
        part.close()

    try:
        parser = python_multipart.create_form_parser(
            {"Content-Type": headers["content-type"].encode("latin-1")},
            take_value,
            take_file,
            config={"MAX_MEMORY_FILE_SIZE": MAX_BODY_BYTES},
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise ValueError(f"the form can't be read: {error}") from None
    return form
