"""What tools said that no answer may leave out, and those of a small model do.

It tells that a tool failed, and not why; that a room is booked, and not under which number.
"""

import re
from collections.abc import Iterator, Sequence

from client.llm.history import AssistantPiece, Piece, Result, ResultsPiece, to_text
from client.llm.local.answering import has_acted
from client.llm.local.choosing import find_question
from client.llm.local.excerpts import CUT, to_excerpt
from client.llm.local.shortening import cut
from client.llm.protocol import ModelRequest

_MAX_REASON_CHARACTERS = 300
_MAX_NEWS_TOKENS = 40
"""About; what is longer was seldom said to be told as it is."""
_NUMBER = re.compile(r"\d(?:[\d.,:/-]*\d)?")


def find_unsaid(request: ModelRequest, pieces: Sequence[Piece], answer: str) -> str:
    """Lines to stand below an `answer` to results, in the tools' own words; "" if it says all.

    They are why tools failed, and what else was said in few words with a number in it: of what was
    done, and beside what failed.
    """
    *before, last = pieces
    if not isinstance(last, ResultsPiece):
        return ""
    failed = [result for result in last.results if result.is_error]
    called = before[-1] if before else None
    lines: list[str] = []
    if failed or (isinstance(called, AssistantPiece) and has_acted(request, called)):
        lines += _find_news(last.results, find_question(pieces), answer)
    reasons = (cut(_to_line(result), _MAX_REASON_CHARACTERS) for result in failed)
    lines += (reason for reason in reasons if reason and reason not in answer)
    return "\n".join(f"({line})" for line in dict.fromkeys(lines))


def _find_news(results: Sequence[Result], question: str, answer: str) -> Iterator[str]:
    known = {*_NUMBER.findall(question), *_NUMBER.findall(answer)}
    for result in results:
        shown = to_excerpt(_to_line(result), question, _MAX_NEWS_TOKENS)
        line = "; ".join(shown.splitlines())
        is_whole = CUT not in shown
        if is_whole and not result.is_error and not known.issuperset(_NUMBER.findall(line)):
            yield line


def _to_line(result: Result) -> str:
    return " ".join(map(to_text, result.parts))
