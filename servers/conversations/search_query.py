"""What people type to search: words, "phrases" and beginnings*; no syntax in it can be wrong."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, get_args

from servers.conversations.checks import check_id, check_owner_name, check_range, check_text
from servers.conversations.contract import (
    MAX_QUERY_CHARACTERS,
    MAX_QUERY_WORDS,
    MAX_SEARCH_LIMIT,
    Role,
    parse_timestamp,
)
from servers.conversations.search_text import find_words
from servers.conversations.store_errors import InvalidError

_PART = re.compile(r'"([^"]*)"(\*?)|([^\s"]+)|"')


class Term(NamedTuple):
    """Words that follow each other; of the last one perhaps only the beginning."""

    words: tuple[str, ...]
    is_prefix: bool

    def stands_at(self, words: Sequence[str], place: int) -> bool:
        """Whether the term begins at this place of a text."""
        end = place + len(self.words)
        if end > len(words):
            return False
        last = words[end - 1]
        return (last.startswith(self.words[-1]) if self.is_prefix else last == self.words[-1]) and (
            len(self.words) == 1 or tuple(words[place : end - 1]) == self.words[:-1]
        )


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for, and where."""

    owner: str
    terms: Sequence[Term]
    """All of them must occur."""
    limit: int
    conversation_id: str | None
    role: Role | None
    since: str | None


def parse_search(
    owner: str,
    query: str,
    *,
    limit: int,
    conversation_id: str | None,
    role: Role | None,
    since: str | None,
) -> Search:
    """The arguments of the verb, checked.

    Raises:
        InvalidError: One of them can't be one.
    """
    check_owner_name(owner)
    check_range("limit", limit, 1, MAX_SEARCH_LIMIT)
    if conversation_id is not None:
        check_id(conversation_id)
    if role is not None and role not in get_args(Role):
        raise InvalidError(f"role is one of {', '.join(get_args(Role))}", field="role")
    if since is not None:
        try:
            since = parse_timestamp(since)
        except ValueError as error:
            raise InvalidError(f"since {error}", field="since") from None
    return Search(owner, parse_query(query), limit, conversation_id, role, since)


def parse_query(query: str) -> list[Term]:
    """The terms, all of which must occur.

    What is written as one word and is several to search, such as `it's`, is a phrase of them.

    Raises:
        InvalidError: There is no word in it, it is too long, or no Unicode text.
    """
    check_text("query", query)
    if len(query) > MAX_QUERY_CHARACTERS:
        raise InvalidError(
            f"a query has at most {MAX_QUERY_CHARACTERS} characters: name fewer words",
            field="query",
        )
    terms: dict[Term, None] = {}
    for phrase, star, word in _PART.findall(query):
        words = tuple(found.folded for found in find_words(phrase or word))
        if words:
            terms[Term(words, bool(star) or word.endswith("*"))] = None
    count = sum(len(term.words) for term in terms)
    if not count:
        raise InvalidError("the query holds no word: name one that occurred", field="query")
    if count > MAX_QUERY_WORDS:
        raise InvalidError(
            f"a query has at most {MAX_QUERY_WORDS} words (a Chinese, Japanese, Korean or Thai "
            f"character is one), this one has {count}",
            field="query",
        )
    return list(terms)
