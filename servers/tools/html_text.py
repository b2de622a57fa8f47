"""An HTML page as readable text.

By hand and not with `html.parser`, whose time grows with the square of some malformed pages: here
each step goes forward, whatever the page nests or leaves open.
"""

import html
import re
from collections.abc import Iterator

_HIDDEN = {"script", "style", "template", "noscript", "svg", "head"}
"""Elements whose content nobody reads; of a head only the title is told."""
_BREAKING = {
    "address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "fieldset",
    "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr",
    "li", "main", "nav", "ol", "p", "pre", "section", "table", "title", "tr", "ul",
}  # fmt: skip
_NAME = re.compile(r"/?([a-zA-Z][a-zA-Z0-9]{0,31})")
_TITLE = re.compile(r"<title[^<>]{0,200}>([^<]{1,500})", re.IGNORECASE)
_ENDS = {name: re.compile(f"</{name}", re.IGNORECASE) for name in _HIDDEN}
_SPACE = re.compile(r"[^\S\n]+")
_LINES = re.compile(r" ?\n[ \n]*")


def to_text(page: str) -> str:
    """What a reader of the page sees: a line for each block, no markup."""
    title = _TITLE.search(page)
    pieces = [html.unescape(title[1]), "\n"] if title else []
    pieces += _iterate_pieces(page)
    text = _SPACE.sub(" ", "".join(pieces))
    return _LINES.sub("\n", text).strip()


def _iterate_pieces(page: str) -> Iterator[str]:
    position = 0
    while (opening := page.find("<", position)) >= 0:
        yield html.unescape(page[position:opening].replace("\n", " "))
        if page.startswith("<!--", opening):
            closing = page.find("-->", opening)
            position = len(page) if closing < 0 else closing + 3
            continue
        name = _NAME.match(page, opening + 1)
        if name is None and page[opening + 1 : opening + 2] not in ("!", "?", "/"):
            yield "<"
            position = opening + 1
            continue
        closing = page.find(">", opening)
        position = len(page) if closing < 0 else closing + 1
        tag = "" if name is None else name[1].lower()
        if tag in _BREAKING:
            yield "\n"
        elif tag in ("td", "th"):
            yield " "
        elif tag in _HIDDEN and page[opening + 1] != "/" and page[position - 2] != "/":
            end = _ENDS[tag].search(page, position)
            position = len(page) if end is None else end.start()
    yield html.unescape(page[position:].replace("\n", " "))
