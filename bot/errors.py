"""Why the bot cannot run, for the operator.

BotError
├── BadTokenError    Telegram does not accept the token
├── BadProxyError    the proxy that the environment names can't be one
└── ListenError      the address of its HTTP face can't be had
"""


class BotError(Exception):
    """The bot cannot run; the text says what to do and holds no secret."""


class BadTokenError(BotError):
    """Telegram does not accept the token, or no longer."""


class BadProxyError(BotError):
    """The proxy that the environment names for Telegram is of no kind that can be used."""


class ListenError(BotError):
    """`bot.listen` can't be listened at."""
