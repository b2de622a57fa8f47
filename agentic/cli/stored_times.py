"""Stored times on the clock of this machine."""

from datetime import datetime


def render_time(timestamp: str) -> str:
    """To the minute."""
    return datetime.fromisoformat(timestamp).astimezone().strftime("%Y-%m-%d %H:%M")
