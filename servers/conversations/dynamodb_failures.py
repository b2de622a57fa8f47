"""What DynamoDB and AWS's library say when something is wrong, as errors that name the fix."""

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)
from botocore.exceptions import (
    ConnectionError as AWSConnectionError,
)

from servers.conversations.store_errors import UnavailableError

_PASSING = {
    "InternalServerError",
    "ItemCollectionSizeLimitExceededException",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestTimeout",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "ThrottlingException",
    "TransactionConflictException",
    "TransactionInProgressException",
}
_PASSING_REASONS = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
_HTTP_SERVER_ERROR = 500
_NEW_CREDENTIALS = (
    "sign in anew, or renew the keys (`aws sts get-caller-identity` shows whether they are good)"
)
_CREDENTIALS = {
    "ExpiredToken": f"the AWS session has expired: {_NEW_CREDENTIALS}",
    "ExpiredTokenException": f"the AWS session has expired: {_NEW_CREDENTIALS}",
    "UnrecognizedClientException": f"AWS does not know these credentials: {_NEW_CREDENTIALS}",
    "InvalidSignatureException": (
        f"AWS refuses the signature: {_NEW_CREDENTIALS}, and check this machine's clock"
    ),
    "MissingAuthenticationTokenException": f"AWS wants credentials: {_NEW_CREDENTIALS}",
}


def is_passing(error: Exception) -> bool:
    """Whether the same call may succeed in a moment; all our writes may be repeated."""
    if isinstance(error, ClientError):
        response = error.response
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = response.get("Error", {}).get("Code", "")
        if code == "TransactionCanceledException":
            reasons = {each.get("Code") for each in response.get("CancellationReasons", [])}
            return bool(reasons & _PASSING_REASONS)
        return code in _PASSING or status >= _HTTP_SERVER_ERROR
    return isinstance(error, HTTPClientError | AWSConnectionError)


def explain(error: Exception, table: str, region: str) -> UnavailableError:
    """The error for a person who can mend it; never with what a request held."""
    where = f"the DynamoDB table {table} in {region or 'no region'}"
    if isinstance(error, ClientError):
        return _explain_answer(error.response, where)
    match error:
        case NoCredentialsError() | PartialCredentialsError():
            text = (
                "there are no AWS credentials: attach an IAM role, or set AWS_PROFILE, or "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        case NoRegionError():
            text = "no AWS region is set: set conversations.region, or AWS_REGION"
        case ProfileNotFound():
            text = f"{error}: correct AWS_PROFILE"
        case EndpointConnectionError() | HTTPClientError() | AWSConnectionError():
            return UnavailableError(
                f"{where} can't be reached: check the region, conversations.endpoint_url and the "
                "network",
                retry_after_seconds=1.0,
            )
        case BotoCoreError():
            text = f"AWS's library can't make the call ({type(error).__name__})"
        case _:
            text = f"the configuration for AWS can't be used ({error})"
    return UnavailableError(f"{where} can't be used: {text}")


def _explain_answer(response: Mapping[str, object], where: str) -> UnavailableError:
    details: Any = response.get("Error") or {}
    code, message = str(details.get("Code", "?")), str(details.get("Message", ""))
    if code in _PASSING or code == "TransactionCanceledException":
        return UnavailableError(
            f"{where} is busy ({code}): try again; if that goes on, raise its capacity",
            retry_after_seconds=1.0,
        )
    if code == "ResourceNotFoundException":
        text = (
            "it, or its index, is not there: make it with `agentic conversations create-table`, or "
            "correct conversations.table and conversations.region"
        )
    elif code in _CREDENTIALS:
        text = _CREDENTIALS[code]
    elif code in ("AccessDeniedException", "AccessDenied"):
        text = f"AWS does not permit it; add what is missing to the IAM policy: {message}"
    else:
        text = f"{code}: {message}"
    return UnavailableError(f"{where} can't be used: {text}")
