"""What the bot itself says to people, as opposed to what the assistant answers."""

import math
from collections.abc import Iterable, Sequence

_LABEL_CHARACTERS = 40
_QUOTE_CHARACTERS = 300

COMMANDS = {
    "new": "begin a new conversation; this one is kept",
    "undo": "go back to the conversation before, within a day",
    "conversations": "show them and change to one; with words: look for them",
    "rename": "give this conversation a title",
    "fork": "go on in a copy of this conversation",
    "export": "get this conversation as a file (or: /export json)",
    "stop": "stop what I am doing",
    "retry": "answer your last message once more",
    "resend": "send my last reply again",
    "tools": "which tools I have",
    "model": "which model answers here; choose another",
    "usage": "what this conversation has used",
    "id": "your Telegram id, and where you are",
    "help": "what I can do",
}
"""The menu that Telegram shows. `/start` is sent by Telegram's own button; `/reset` is `/new`."""

HELP = (
    "Write to me and I answer, with my tools if they help. I remember our conversation.\n\n"
    + "".join(f"/{name}: {does}\n" for name, does in COMMANDS.items())
    + "\nWhat you send while I am busy I answer after it, together."
)
YES, NO = "Yes", "No"
DO_IT, DONT = "Yes, do it", "No"
DONE, DECLINE, SEND, LEAVE_OUT = "Done", "Decline", "Send it", "Leave it out"
PRESS = "press one"
AGREED = "✓ You agreed."
DECLINED = "✗ You declined."
PAGE_DONE = "✓ Done, you said."
LEFT = "(as it was)"
NO_LONGER_OPEN = "(This question is no longer open.)"
NOT_ENCRYPTED = "It is not encrypted: others can read what you do there."
STOP = "Stop"
STOPPING = "Stopping."
STOPPED = "(Stopped, as you asked.)"
ALBUM = (
    "I can't understand what is sent together as an album yet; that comes later. If you wrote "
    "something with it, I have not acted on that either: send it as a text."
)
WAITS_HERE = "I have this, and answer it after what I am doing. (/stop ends that.)"
NOTHING_RUNS = "I am not working on anything just now."
BUTTON_IS_OLD = "This is over."
MORE = "More …"
RENAME, COPY, AS_FILE = "Rename", "Copy", "As a file"
CONVERSATIONS = "Your conversations, the latest first. Press one to go on there."
NO_CONVERSATIONS = "There are no more conversations."
NOTHING_FOUND = "Nothing was found."
NOTHING_HERE = "This conversation has no messages yet."
NOTHING_TO_UNDO = "There is no change of conversations within the last day that I could undo."
ONLY_THE_LAST = (
    "You changed a message that others came after: I can only answer your last one anew. Send it "
    "again as a new message."
)
NOTHING_TO_RESEND = "There is no reply of mine here that I could send again."
FORKED = "From here on this is a copy; the conversation that it was made of is kept (/undo)."
RENAME_HOW = "Write the title behind it, such as: /rename Holidays"
EXPORT_HOW = "/export gives a text to read, /export json all there is."
EXPORT_TOO_LARGE = (
    "This conversation is too large for a file here. Whoever runs me can export it with "
    "`agentic conversations export`."
)
FILE_NOT_SENT = "I tried to send a file, and don't know if it arrived. Ask for it again if not."
BROKEN = "Something went wrong here, and it was recorded."
NOT_DONE = (
    "Something went wrong here, and it was recorded. If your last message stays without an answer, "
    "please send it again."
)
COMMAND_NOT_DONE = "I can't reach my memory at the moment, so this was not done. Try it later."
RESET_DONE = "This is a new conversation. The one before is kept; /undo goes back to it."
CODE_WITHDRAWN = (
    "That is not the code. Too many wrong ones were tried, so it counts no more: whoever runs me "
    "makes another with `agentic bot --pair`."
)
NO_CODE_OPEN = (
    "That code does not count, or no longer: whoever runs me makes another with "
    "`agentic bot --pair`."
)
CODE_NOT_TRIED = "I can't reach my memory at the moment. Send me the code again in a minute."
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


def render_consent(tool: str, reason: str) -> str:
    """Whether a call may be made; the arguments follow."""
    return f"May I use {tool}? I ask because {reason}. It would be sent:"


def render_form(server: str, tool: str, message: str) -> str:
    """What a server asks for; the fields follow, one at a time."""
    return (
        f"The server {server} asks you something, for {tool}:\n\n{message}\n\n"
        f"What you answer goes to {server}. Write no password and no key here."
    )


def render_sending(server: str, told: Sequence[str]) -> str:
    """What a server would be told."""
    lines = "\n".join(told) or "(nothing)"
    return f"Shall this be sent to {server}?\n\n{lines}"


def render_page(server: str, tool: str, message: str, host: str, url: str) -> str:
    """The page that a server wants to be opened."""
    return (
        f"The server {server} asks you, for {tool}, to open a page of {host}:\n\n{message}\n\n"
        f"{url}\n\nI have not opened it. What you do there is between you and {host}."
    )


def render_keep(preset: str) -> str:
    """The words on a button that takes what is proposed."""
    return f"Take: {preset}"


def render_start(person: str) -> str:
    """What `/start` answers."""
    return f"Hello {person}!\n\n{HELP}"


def render_unknown_command(name: str) -> str:
    """What a command answers that there is not."""
    return f"There is no command /{name}.\n\n{HELP}"


def render_label(name: str, last_updated: str, *, is_current: bool) -> str:
    """A conversation on a button: its title or what was said last, in one line."""
    line = " ".join(name.split())[:_LABEL_CHARACTERS] or last_updated[:10]
    return f"• {line}" if is_current else line


def render_changed(title: str | None, last: str) -> str:
    """What a change of conversations answers: what it is called, else what was said last in it."""
    if title:
        return f"What you write now belongs to this conversation: {title}"
    line = " ".join(last.split())[:_QUOTE_CHARACTERS]
    where = f", which ended with:\n\n{line}" if line else "."
    return f"What you write now belongs to this conversation{where}"


def render_renamed(title: str) -> str:
    """What `/rename` answers."""
    return f"This conversation is now called: {title}"


def render_hits(snippets: Sequence[str]) -> str:
    """What was found, in Markdown; a button below goes there."""
    lines = [f"{number}. {snippet}" for number, snippet in enumerate(snippets, 1)]
    return "\n\n".join([*lines, "Press a number to go on there."])


def render_tools(names: Sequence[str]) -> str:
    """What `/tools` answers."""
    if not names:
        return "I have no tools at the moment."
    return "My tools:\n" + "\n".join(f"- {name}" for name in sorted(names))


def render_model(name: str) -> str:
    """What `/model` answers."""
    return f"I answer with {name}."


def render_models(current: str, names: Sequence[str]) -> str:
    """What `/model` answers where there is a choice; the buttons follow."""
    return (
        f"I answer here with {current}. Press which of these {len(names)} models shall answer from "
        "your next message on, or write its name, such as: /model "
        f"{next((name for name in names if name != current), current)}"
    )


def render_model_label(name: str, *, is_current: bool) -> str:
    """A model on a button."""
    return f"• {name[:_LABEL_CHARACTERS]}" if is_current else name[:_LABEL_CHARACTERS]


def render_chosen_model(name: str) -> str:
    """What a change of models answers."""
    return f"From your next message on, {name} answers here."


def render_unknown_model(name: str, names: Sequence[str]) -> str:
    """What `/model` answers to a name that there is not."""
    known = f"It names: {', '.join(names)}." if names else "It names none."
    return f"mcp.yml names no model {name[:_LABEL_CHARACTERS]}. {known} Nothing was changed."


def render_unusable_model(reason: str, current: str) -> str:
    """What a change to a model answers that lacks something."""
    return f"{reason} Nothing was changed: {current} goes on answering here."


def render_model_lacks(reason: str) -> str:
    """What is said when the model that was chosen in a chat can't answer."""
    return f"{reason} /model changes to another, and then /retry asks it this."


def render_gone_model(name: str, usual: str) -> str:
    """What is said once of a model that `mcp.yml` no longer names."""
    return f"The model {name} that was chosen here is no longer in mcp.yml: {usual} answers."


def render_id(user_id: int, owner: str, conversation_id: str) -> str:
    """What `/id` answers."""
    return (
        f"Your Telegram id is {user_id}, and I know you as {owner}. "
        f"We are in the conversation {conversation_id}."
    )


def render_usage(messages: int, tokens_in: int, tokens_out: int) -> str:
    """What `/usage` answers."""
    return (
        f"This conversation has {messages:,} messages. Its answers took {tokens_in:,} "
        f"tokens in and {tokens_out:,} out."
    )


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
        f'can add it to mcp.yml, under bot: people: (such as "{user_id}: name"), or give you a '
        "code of `agentic bot --pair`."
    )


def render_lost(why: str) -> str:
    """What is said of an answer that waited for the store and can't be kept."""
    return f"Something I answered while I could not reach my memory is not kept in it: {why}."


def render_paired(person: str, owner: str) -> str:
    """What the right code answers."""
    return f"Hello {person}! From now on I know you as {owner}.\n\n{HELP}"


def render_wrong_code(tries_left: int) -> str:
    """What a wrong code answers."""
    left = "is one more try" if tries_left == 1 else f"are {tries_left} more tries"
    return f"That is not the code. There {left}."


def render_too_many(seconds: float) -> str:
    """What the first message over the rate answers."""
    wait = max(1, math.ceil(seconds))
    when = "a second" if wait == 1 else f"{wait} seconds"
    return (
        "You write faster than I can take in: this message is left out, and so is each one more "
        f"until I can take in another. Send it again in {when}."
    )


def render_not_sent(name: str, *, is_readable: bool) -> str:
    """What stands in place of a file that a tool returned."""
    why = "Telegram does not take it" if is_readable else "it can't be read any more"
    return f"I can't send you {name}: {why}."


def render_left_out(files: int) -> str:
    """What follows the files of one reply, when there are more than are sent."""
    what = "One more file is" if files == 1 else f"{files} more files are"
    return f"{what} kept with this conversation: too many to send."


def render_failure(message: str, reference: str) -> str:
    """What a failed turn says."""
    return f"{message} (reference {reference})"


def render_stopped(said: str) -> str:
    """What is left of an answer that the person stopped."""
    return f"{said.strip()}\n\n{STOPPED}".strip()


def render_given_up(attempts: int) -> str:
    """What is said about a message that each time something kept from being answered."""
    return (
        f"I began to answer this {attempts} times and was stopped each time, so I leave it now. "
        "Send it again if you still want an answer."
    )


def render_code_note(name: str, lines: int) -> str:
    """What stands below the beginning of code that is too long for a message."""
    return f"(All {lines:,} lines are in {name}.)" if lines > 1 else f"(All of it is in {name}.)"
