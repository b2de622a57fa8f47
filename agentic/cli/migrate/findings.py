"""What keeps a conversation from being the same at both ends. It costs itself, not the others."""


class DiffersError(Exception):
    """It is not the same, and nobody but a person can say which is right. The text says how."""
