"""Why the bot cannot run, for the operator.

BotError
├── BadTokenError    Telegram does not accept the token
└── ListenError      the address of its HTTP face can't be had
"""


class BotError(Exception):
    """The bot cannot run; the text says what to do and holds no secret."""


class BadTokenError(BotError):
    """Telegram does not accept the token, or no longer."""


class ListenError(BotError):
    """`bot.listen` can't be listened at."""
