"""Tools for who is paired with which owner. They act for no owner: a delegate's only."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from servers.access.contract import (
    SCOPE_DELEGATE,
    ClaimResult,
    IdentitiesResult,
    PairingResult,
    RemoveIdentityResult,
    check_owner,
)
from servers.access.people import People, TooManyPeopleError
from servers.conversations.store_errors import ConflictError, UnavailableError
from servers.conversations.tool_hints import READS, writes
from servers.records.errors import RecordError, RecordsUnavailableError
from servers.typed_arguments import ToolArguments
from servers.typed_tools import Caller, TypedTool

_IdentityName = Annotated[
    str,
    Field(
        description="Such as telegram:42.",
        min_length=3,
        max_length=128,
        pattern=r"^[a-z]+:[!-~]+$",
    ),
]


class _NoArguments(ToolArguments):
    """Nothing: it is about all of them."""


class _OpenArguments(ToolArguments):
    """For whom."""

    owner: Annotated[str, AfterValidator(check_owner)] = Field(
        description="Who whoever gives the code first will be."
    )


class _ClaimArguments(ToolArguments):
    """Who gives which code."""

    identity: _IdentityName
    code: str = Field(
        description="As they wrote it; dashes and small letters don't matter.",
        min_length=1,
        max_length=64,
    )


class _RemoveArguments(ToolArguments):
    """Whom."""

    identity: _IdentityName


def create_people_tools(people: People) -> list[TypedTool[Any, Any]]:
    """The tools over `people`."""

    async def open_(caller: Caller, given: _OpenArguments) -> PairingResult:
        with _checked(caller):
            return await people.open_pairing(given.owner)

    async def claim(caller: Caller, given: _ClaimArguments) -> ClaimResult:
        with _checked(caller):
            return await people.claim(given.identity, given.code)

    async def list_(caller: Caller, given: _NoArguments) -> IdentitiesResult:  # noqa: ARG001 - of all
        with _checked(caller):
            return await people.list()

    async def remove(caller: Caller, given: _RemoveArguments) -> RemoveIdentityResult:
        with _checked(caller):
            return RemoveIdentityResult(removed=await people.remove(given.identity))

    return [
        TypedTool(
            name="open_pairing",
            title="Open a pairing",
            description="Makes a code that counts for ten minutes and five wrong tries: whoever "
            "gives it first is that owner from then on. Takes the place of a code that is open. "
            "For the operator's own programs: needs the scope delegate, and no owner in _meta.",
            scope=SCOPE_DELEGATE,
            annotations=writes(destructive=False, idempotent=False),
            arguments=_OpenArguments,
            result=PairingResult,
            call=open_,
        ),
        TypedTool(
            name="claim_pairing",
            title="Claim a pairing",
            description="Pairs an identity with the owner of the open code, if that is the code "
            "given; else that was one of the tries. Repeating it changes nothing. Needs the scope "
            "delegate, and no owner in _meta.",
            scope=SCOPE_DELEGATE,
            annotations=writes(destructive=False, idempotent=False),
            arguments=_ClaimArguments,
            result=ClaimResult,
            call=claim,
        ),
        TypedTool(
            name="list_identities",
            title="List identities",
            description="Gives who was paired with which owner, the first one first. Needs the "
            "scope delegate, and no owner in _meta.",
            scope=SCOPE_DELEGATE,
            annotations=READS,
            arguments=_NoArguments,
            result=IdentitiesResult,
            call=list_,
        ),
        TypedTool(
            name="remove_identity",
            title="Remove an identity",
            description="Undoes a pairing: that identity is nobody's any more; the owner's "
            "conversations stay. An unknown one is no error: removed is then false. Needs the "
            "scope delegate, and no owner in _meta.",
            scope=SCOPE_DELEGATE,
            annotations=writes(destructive=True, idempotent=True),
            arguments=_RemoveArguments,
            result=RemoveIdentityResult,
            call=remove,
        ),
    ]


@contextmanager
def _checked(caller: Caller) -> Generator[None]:
    caller.check_acts_for_none()
    try:
        yield
    except TooManyPeopleError as error:
        raise ConflictError(str(error)) from None
    except RecordError as error:
        seconds = error.retry_after_seconds if isinstance(error, RecordsUnavailableError) else None
        raise UnavailableError(str(error), retry_after_seconds=seconds) from None
