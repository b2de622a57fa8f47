"""How hosting a server fails; the text is for the operator.

HostError
├── UsageError   asked for something that is not possible here; says what is
└── StartError   the server cannot start: port in use, store not usable
"""


class HostError(Exception):
    """A server was not started."""


class UsageError(HostError):
    """Wrong arguments or configuration."""


class StartError(HostError):
    """Something outside is in the way."""
