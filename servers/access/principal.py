"""Principals: who calls a server, and for which owner a call acts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from servers.access.contract import (
    OWNER_META_KEY,
    SCOPE_CONVERSATIONS_READ,
    SCOPE_CONVERSATIONS_WRITE,
    SCOPE_DELEGATE,
    SCOPE_TOOLS_CALL,
    check_owner,
)

OPERATOR_SCOPES = frozenset({SCOPE_CONVERSATIONS_READ, SCOPE_CONVERSATIONS_WRITE, SCOPE_TOOLS_CALL})


class ForbiddenError(Exception):
    """The principal may not do this; the text says what it would need."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: a name for logs, the owner whose data it may touch, and what it may do."""

    name: str
    owner: str
    scopes: frozenset[str]

    @property
    def is_delegate(self) -> bool:
        """Whether each call must say for which owner it acts."""
        return SCOPE_DELEGATE in self.scopes

    def of(self, request: object) -> "Principal":  # noqa: ARG002 - as `Callers` has it
        """This principal, whatever the request: alone it is all the callers there are (stdio)."""
        return self

    def acting_owner(self, meta: Mapping[str, object] | None) -> str:
        """The owner that a call with this `_meta` acts for.

        Raises:
            ForbiddenError: A delegate named no owner, or a principal without `delegate` named
            another's.
        """
        named = self.named_owner(meta)
        if named is None:
            if self.is_delegate:
                raise ForbiddenError(
                    f'a delegate must name the owner it acts for in _meta["{OWNER_META_KEY}"]'
                )
            return self.owner
        if named != self.owner and not self.is_delegate:
            raise ForbiddenError("acting for another owner needs the scope delegate")
        return named

    def named_owner(self, meta: Mapping[str, object] | None) -> str | None:
        """The owner that `_meta` names, if any, checked but not authorised.

        Raises:
            ForbiddenError: What stands there cannot be an owner.
        """
        named = (meta or {}).get(OWNER_META_KEY)
        if named is None:
            return None
        if not isinstance(named, str):
            raise ForbiddenError(f'_meta["{OWNER_META_KEY}"] must be a string')
        try:
            return check_owner(named)
        except ValueError as error:
            raise ForbiddenError(f'_meta["{OWNER_META_KEY}"]: {error}') from None

    def require(self, scope: str) -> None:
        """Check that the principal has a scope.

        Raises:
            ForbiddenError: It has not.
        """
        if scope not in self.scopes:
            raise ForbiddenError(f"this needs the scope {scope}")


class Callers(Protocol):
    """Who calls a server: on stdio always the same principal, over HTTP whom the token names."""

    def of(self, request: object) -> Principal:
        """The principal behind a request; `request` is what the transport knows of it.

        Raises:
            ForbiddenError: There is none.
        """
        ...


def create_operator(owner: str, *, delegate: bool = False) -> Principal:
    """The principal on stdio: the operator, who with `delegate` acts for any owner it names."""
    scopes = OPERATOR_SCOPES | {SCOPE_DELEGATE} if delegate else OPERATOR_SCOPES
    return Principal(name="operator", owner=check_owner(owner), scopes=scopes)
