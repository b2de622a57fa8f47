"""What titles and tags may be.

Pydantic and the standard library only, so that any client can import it.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

from servers.conversations.contract import MAX_TAG_CHARACTERS, MAX_TAGS, MAX_TITLE_CHARACTERS


def check_no_nul(text: str) -> str:
    """Return `text` if it holds no NUL.

    Raises:
        ValueError: It does.
    """
    if "\0" in text:
        raise ValueError("holds no NUL character")
    return text


Title = Annotated[str, Field(max_length=MAX_TITLE_CHARACTERS), AfterValidator(check_no_nul)]
Tag = Annotated[
    str, Field(min_length=1, max_length=MAX_TAG_CHARACTERS), AfterValidator(check_no_nul)
]
Tags = Annotated[list[Tag], Field(max_length=MAX_TAGS)]
