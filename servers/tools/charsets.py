"""Bytes of an answer as text, in whatever encoding they are, whatever is said of them."""

import codecs
import re

_CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)
_IN_PAGE = re.compile(r"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)
_IN_PAGE_BYTES = 2_048
_KNOWN = re.compile(r"utf-(8|16|32)|ascii|iso|cp\d|koi8|kz|ptcp|tis|mac|shift|euc|gb|hz|big5|johab")
"""Beginnings of Python's names of encodings of texts; others are of bytes."""
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before the shorter one that it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OTHERWISE = "cp1252"
"""What browsers take where nothing is said and it is no UTF-8."""


def decode(body: bytes, content_type: str) -> str:
    """The text. What can't be read in the encoding that it claims becomes `U+FFFD`.

    A byte-order mark wins. What is said by the header, else by the page, is believed unless the
    bytes are UTF-8 beyond ASCII, which no text of another encoding is by chance.
    """
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            return body.decode(encoding, "replace")
    said = _find(_CHARSET, content_type) or _find(_IN_PAGE, body[:_IN_PAGE_BYTES].decode("latin-1"))
    if said is None or not (_is_wide(said) or body.isascii()):
        try:
            return body.decode("utf-8")
        except UnicodeDecodeError:
            pass
    if said in (None, "utf-8"):  # cut or damaged, if a part of it is UTF-8
        said = _OTHERWISE if body.decode("utf-8", "ignore").isascii() else "utf-8"
    return body.decode(said, "replace")


def _find(pattern: re.Pattern[str], text: str) -> str | None:
    """Python's name of the encoding that a text names; None: it names none that there is."""
    match = pattern.search(text)
    if match is None:
        return None
    try:
        name = codecs.lookup(match[1]).name
    except LookupError:
        return None
    if not _KNOWN.match(name):
        return None
    return {"iso8859-1": _OTHERWISE, "ascii": "utf-8"}.get(name, name)


def _is_wide(encoding: str) -> bool:
    """Whether its texts may look like UTF-8."""
    return encoding.startswith(("utf-16", "utf-32", "iso2022", "hz"))
