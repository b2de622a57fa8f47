"""How hosting a server fails; the text is for the operator.

HostError
├── SetupError   asked for what is not possible here, such as a directory that can't be used
└── StartError   the server cannot start now: port in use, standard stream closed
"""


class HostError(Exception):
    """A server was not started."""


class SetupError(HostError):
    """Wrong arguments or configuration."""


class StartError(HostError):
    """Something outside is in the way."""
