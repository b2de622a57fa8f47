"""The branch of a conversation that its owner saw, where answers and questions were redone."""

from collections.abc import Mapping


def shown_branch(parents: Mapping[str, str | None], leaf: str) -> list[str]:
    """From the root to `leaf`; `parents` names each node's. A ring ends where it would close."""
    branch: dict[str, None] = {}
    node: str | None = leaf
    while node is not None and node in parents and node not in branch:
        branch[node] = None
        node = parents[node]
    return list(reversed(branch))
