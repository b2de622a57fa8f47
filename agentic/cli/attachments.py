"""`agentic conversations attach|attachment`: a file into a conversation, and out of it again."""

import mimetypes
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO

from anyio import to_thread

from agentic.cli.compose import open_attachments
from agentic.cli.conversation_ids import check_id
from agentic.cli.failures import CommandError, UsageError
from agentic.cli.input_files import open_input, read_input
from agentic.cli.invocation import Invocation, note
from agentic.cli.output_files import check_output, replaced_output
from agentic.cli.terminal_text import one_line, to_json
from agentic.config.children import SECTIONS_OF_STORE_USERS
from agentic.config.models import Config
from client.attachments import Part, create_attachment_id
from servers.conversations.contract_attachments import (
    MAX_ATTACHMENT_BYTES,
    check_attachment_id,
    check_attachment_name,
    parse_mime_type,
)
from servers.conversations.contract_uris import AttachmentUri, parse_attachment_uri

_UNKNOWN_TYPE = "application/octet-stream"


def attach_file(
    invocation: Invocation,
    conversation_id: str,
    file: Path,
    *,
    name: str | None,
    mime_type: str | None,
    as_json: bool,
) -> int:
    """Store the file with the conversation and print what it is read by."""

    async def work(config: Config) -> None:
        check_id(conversation_id)
        data = await to_thread.run_sync(_read_file, file)
        whose, wanted = ("The file's name", file.name) if name is None else ("--name", name)
        shown = _check(whose, check_attachment_name, wanted)
        guessed = mime_type or mimetypes.guess_type(file.name)[0] or _UNKNOWN_TYPE
        kind = _check("--type", parse_mime_type, guessed)
        async with open_attachments(config) as attachments:
            result = await attachments.put(
                conversation_id,
                data,
                name=shown,
                mime_type=kind,
                attachment_id=create_attachment_id(shown, kind, data),
            )
        sys.stdout.write((to_json(result.model_dump()) if as_json else result.uri) + "\n")

    return invocation.run(work, sections=SECTIONS_OF_STORE_USERS)


def fetch_attachment(
    invocation: Invocation,
    named: str,
    attachment_id: str | None,
    output: Path | None,
    *,
    force: bool,
) -> int:
    """Write an attachment to `output`, or to stdout."""

    async def work(config: Config) -> None:
        wanted = _parse(named, attachment_id)
        if output is not None:
            check_output(output, force=force)
        elif sys.stdout.isatty():
            raise UsageError("A terminal can't show every file: name one to write with -o FILE.")
        async with open_attachments(config) as attachments:
            parts = attachments.read(wanted)
            if output is None:
                await _write(sys.stdout.buffer, parts)
                return
            with replaced_output(output, force=force) as file:
                part = await _write(file.buffer, parts)
        note(f"{one_line(part.name)}, {part.mime_type}, {part.size:,} bytes")

    return invocation.run(work, sections=SECTIONS_OF_STORE_USERS)


def _parse(named: str, attachment_id: str | None) -> AttachmentUri:
    if attachment_id is not None:
        checked = _check("The id of an attachment", check_attachment_id, attachment_id)
        return AttachmentUri(check_id(named), checked)
    uri = parse_attachment_uri(named)
    if uri is None:
        raise UsageError(
            "Give the URI of an attachment, such as "
            f"{AttachmentUri('telegram:42', 'a1b2').render()}, or the ids of a conversation and "
            "of its attachment."
        )
    return AttachmentUri(uri.conversation_id, uri.attachment_id)


async def _write(file: BinaryIO, parts: AsyncIterator[Part]) -> Part:
    part = await anext(parts)
    file.write(part.data)
    async for part in parts:
        file.write(part.data)
    file.flush()
    return part


def _read_file(path: Path) -> bytes:
    if path.is_dir():
        raise UsageError(f"{path} is a folder: attach its files.")
    if not path.exists():
        raise UsageError(f"There is no file {one_line(str(path), 500)}.")
    data = bytearray()
    with open_input(path) as file:
        while len(data) <= MAX_ATTACHMENT_BYTES:
            more = read_input(file.fileno(), MAX_ATTACHMENT_BYTES + 1 - len(data))
            if not more:
                return bytes(data)
            data += more
    raise CommandError(
        f"{path} has more than {MAX_ATTACHMENT_BYTES:,} bytes, which is all that an "
        "attachment may have."
    )


def _check(what: str, check: Callable[[str], str], text: str) -> str:
    try:
        return check(text)
    except ValueError as error:
        raise UsageError(f"{what} {error}.") from None
