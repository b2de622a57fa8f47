"""Why the bot cannot run, for the operator.

BotError
└── BadTokenError    Telegram does not accept the token
"""


class BotError(Exception):
    """The bot cannot run; the text says what to do and holds no secret."""


class BadTokenError(BotError):
    """Telegram does not accept the token, or no longer."""
