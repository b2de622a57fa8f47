"""What the bot itself says to people, as opposed to what the assistant answers."""

from collections.abc import Iterable

COMMANDS = {
    "help": "what I can do",
    "reset": "begin a new conversation; this one is kept",
}
"""The menu that Telegram shows. `/start` is sent by Telegram's own button."""

HELP = (
    "Write to me and I answer, with my tools if they help. I remember our conversation.\n\n"
    "/reset begins a new conversation; the old one is kept.\n"
    "/help shows this.\n\n"
    "Messages you send while I am busy are answered in order."
)
RESET_DONE = "This is a new conversation. The one before is kept."
NOT_TAKEN = (
    "I could not take in your last message, and it will not be answered. Please send it again."
)
WAITS_AT_TELEGRAM = (
    "I can't reach my memory at the moment. Your message waits with Telegram, which keeps it for "
    "24 hours, and I answer it as soon as I can."
)
NOT_STORED_YET = (
    "I can't reach my memory at the moment. What I just answered is kept beside it and put there "
    "later; what you write meanwhile waits, and I answer it as soon as I can."
)
STORE_AWAY = (
    "I can't reach my memory at the moment. Your message is kept, and I answer it as soon as I can."
)


def render_status(tools: Iterable[str]) -> str:
    """The line, in Markdown, that says which tools work (the model's names of them)."""
    names = ", ".join(f"`{tool.partition('__')[2] or tool}`" for tool in tools)
    return f"⏳ {names} …" if names else "⏳ …"


def render_start(person: str) -> str:
    """What `/start` answers."""
    return f"Hello {person}!\n\n{HELP}"


def render_unknown_command(name: str) -> str:
    """What a command answers that there is not."""
    return f"There is no command /{name}.\n\n{HELP}"


def render_attachment(kind: str, caption: str) -> str:
    """What something answers that can't be understood yet."""
    sentence = f"I can't understand {kind} yet; that comes later."
    if caption:
        return f"{sentence} I have not acted on what you wrote with it either: send that as a text."
    return f"{sentence} Please write it to me as a text."


def render_attachment_note(kind: str, caption: str) -> str:
    """How something that can't be understood yet stands in the conversation."""
    note = f"[Sent {kind}, which could not be read.]"
    return f"{note}\n{caption}" if caption else note


def render_stranger(user_id: int) -> str:
    """The one line a day for somebody who may not talk: what the operator writes where."""
    return (
        f"I talk only to people I was told about. Your Telegram id is {user_id}; whoever runs me "
        f'can add it to mcp.yml, under bot: people: (such as "{user_id}: name").'
    )


def render_failure(message: str, reference: str) -> str:
    """What a failed turn says."""
    return f"{message} (reference {reference})"


def render_given_up(attempts: int) -> str:
    """What is said about a message that each time something kept from being answered."""
    return (
        f"I began to answer this {attempts} times and was stopped each time, so I leave it now. "
        "Send it again if you still want an answer."
    )
