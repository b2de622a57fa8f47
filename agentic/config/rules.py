"""What the values of `mcp.yml` must be like, beyond their types. The texts never hold the value."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

MAX_OWNER_BYTES = 256
_SERVER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_TELEGRAM_ID = re.compile(r"[1-9][0-9]{0,18}")
_VARIABLE_NAME = re.compile(r"[^=\0]+")
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def _check_owner(owner: str) -> str:
    """The same rule as the servers': 1 to 256 bytes of UTF-8, no control characters."""
    if not 1 <= len(owner.encode("utf-8", "replace")) <= MAX_OWNER_BYTES:
        raise ValueError(f"should be a name of 1 to {MAX_OWNER_BYTES} bytes")
    if any(ord(character) < 32 or 127 <= ord(character) < 160 for character in owner):
        raise ValueError("holds a control character, should be a plain name")
    return owner


def _check_table_name(name: str) -> str:
    if not _TABLE_NAME.fullmatch(name):
        raise ValueError("a DynamoDB table's name has 3 to 255 letters, digits, _, - and dots")
    return name


def _check_bucket_name(name: str) -> str:
    if not _BUCKET_NAME.fullmatch(name):
        raise ValueError("an S3 bucket's name has 3 to 63 small letters, digits, - and dots")
    return name


def _check_server_name(name: str) -> str:
    if not _SERVER_NAME.fullmatch(name) or "__" in name:
        raise ValueError("a server's name has 1 to 32 letters, digits, - or single _")
    return name


def _check_entry_name(name: str) -> str:
    if not name.strip() or not name.isprintable():
        raise ValueError("a name has one character or more, all of which can be printed")
    return name


def _check_telegram_id(number: str) -> str:
    if not _TELEGRAM_ID.fullmatch(number):
        raise ValueError("a Telegram user id is a number such as 42 (the @name is none)")
    return number


def check_url(url: str) -> str:
    """Return `url` if it is an address for HTTP.

    Raises:
        ValueError: It is none.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError("should be an http or https address, such as https://example.com/mcp")
    return url


def _check_variable_name(name: str) -> str:
    if not _VARIABLE_NAME.fullmatch(name):
        raise ValueError("is no name of an environment variable")
    return name


def _check_headers(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    for name, value in headers.items():
        text = value.get_secret_value()
        if not HEADER_NAME.fullmatch(name):
            raise ValueError("has a name that can't be a header's")
        if not (text.isascii() and text.isprintable()):
            raise ValueError(f"{name} should be printable ASCII on one line")
    return headers


def check_key(text: str) -> str:
    """A provider's key, without the white space that files and copying leave around it.

    Raises:
        ValueError: It is empty, or can't be sent in a header.
    """
    key = text.strip()
    if not key:
        raise ValueError("is empty, should be a key")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ValueError("should be one line of printable ASCII without spaces")
    return key


def _check_secret_key(key: SecretStr) -> SecretStr:
    return SecretStr(check_key(key.get_secret_value()))


EntryName = Annotated[str, AfterValidator(_check_entry_name)]
"""Of a model or an agent, which people choose by it."""
Headers = Annotated[dict[str, SecretStr], AfterValidator(_check_headers)]
Key = Annotated[SecretStr, AfterValidator(_check_secret_key)]
Owner = Annotated[str, AfterValidator(_check_owner)]
TableName = Annotated[str, AfterValidator(_check_table_name)]
BucketName = Annotated[str, AfterValidator(_check_bucket_name)]
ServerName = Annotated[str, AfterValidator(_check_server_name)]
TelegramId = Annotated[str, AfterValidator(_check_telegram_id)]
Url = Annotated[str, AfterValidator(check_url)]
VariableName = Annotated[str, AfterValidator(_check_variable_name)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
