"""Shortens what is quoted in a prompt: each token of it takes time to read."""

_MAX_LINE_CHARACTERS = 200


def to_line(text: str) -> str:
    """One line, of a description."""
    line = " ".join(text.split())
    return line if len(line) <= _MAX_LINE_CHARACTERS else line[: _MAX_LINE_CHARACTERS - 1] + "…"


def cut(text: str, most: int) -> str:
    """Its beginning and its end where it has more than `most` characters."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[…]\n{text[-half:]}"
