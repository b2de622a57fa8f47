"""What AWS and its library say when something is wrong, as errors that name the fix."""

import re
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import (
    ConnectionError as AWSConnectionError,
)

_PASSING = {
    "ConcurrentUpdateException",
    "InternalServerError",
    "InternalServiceException",
    "ItemCollectionSizeLimitExceededException",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestTimeout",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "SlowDown",
    "ThrottlingException",
    "TransactionConflictException",
    "TransactionInProgressException",
}
_PASSING_REASONS = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
_HTTP_SERVER_ERROR = 500
_NEW_CREDENTIALS = (
    "sign in anew, or renew the keys (`aws sts get-caller-identity` shows whether they are good)"
)
_UNKNOWN = (
    "AWS does not know these credentials, or the account has not enabled this region: "
    f"{_NEW_CREDENTIALS}"
)
_EXPIRED = f"the AWS session has expired: {_NEW_CREDENTIALS}"
_SIGNATURE = f"AWS refuses the signature: {_NEW_CREDENTIALS}, and check this machine's clock"
_CREDENTIALS = {
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "UnrecognizedClientException": _UNKNOWN,
    "InvalidAccessKeyId": _UNKNOWN,
    "InvalidSignatureException": _SIGNATURE,
    "SignatureDoesNotMatch": _SIGNATURE,
    "RequestTimeTooSkewed": _SIGNATURE,
    "MissingAuthenticationTokenException": f"AWS wants credentials: {_NEW_CREDENTIALS}",
}
_OF_TABLES = {
    "ResourceNotFoundException": (
        "it, or its index, is not there: make it with `agentic conversations create-table`, or "
        "correct conversations.table and conversations.region"
    ),
}
_OF_BUCKETS = {
    "NoSuchBucket": "it is not there: make it, or correct conversations.attachments_bucket",
    **dict.fromkeys(
        ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"),
        "it lies in another region than AWS was asked in: set conversations.region to its region, "
        "or conversations.attachments_bucket to a bucket of this one",
    ),
}
_REFUSALS = ("AccessDeniedException", "AccessDenied", "403")
_ACTION = re.compile(r"not authorized to perform: (\S+)")
_LIMIT = re.compile(r"Subscriber limit exceeded|quota", re.IGNORECASE)
"""Of the account: that does not pass, unlike others of the same code."""


class AwsError(Exception):
    """AWS can't be used now; the text is for a person who can mend it."""

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class NotPermittedError(AwsError):
    """The IAM policy does not permit it; the text names the action."""


def code_of(error: Exception) -> str:
    """AWS's code of an answer that is an error; empty for other errors."""
    if not isinstance(error, ClientError):
        return ""
    return str(error.response.get("Error", {}).get("Code", "?"))


def is_passing(error: Exception) -> bool:
    """Whether the same call may succeed in a moment; all our writes may be repeated."""
    if isinstance(error, ClientError):
        response = error.response
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = code_of(error)
        if code == "TransactionCanceledException":
            reasons = {each.get("Code") for each in response.get("CancellationReasons", [])}
            return bool(reasons & _PASSING_REASONS)
        if code == "LimitExceededException" and _is_limit(response):
            return False
        return code in _PASSING or status >= _HTTP_SERVER_ERROR
    return isinstance(error, HTTPClientError | AWSConnectionError | IncompleteReadError)


def explain(error: Exception, table: str, region: str) -> AwsError:
    """The error for a person who can mend it; never with what a request held."""
    where = f"the DynamoDB table {table} in {region or 'no region'}"
    way = "the region, conversations.endpoint_url and the network"
    return _explain(error, where, way, _OF_TABLES)


def explain_bucket(error: Exception, bucket: str) -> AwsError:
    """The same of a bucket of S3."""
    way = "the region and the network"
    return _explain(error, f"the S3 bucket {bucket}", way, _OF_BUCKETS)


def _explain(error: Exception, where: str, way: str, of_service: Mapping[str, str]) -> AwsError:
    if isinstance(error, ClientError):
        return _explain_answer(error, where, of_service)
    match error:
        case NoCredentialsError() | PartialCredentialsError():
            text = (
                "there are no AWS credentials: attach an IAM role, or set AWS_PROFILE, or "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        case SSOError() | TokenRetrievalError():
            text = "the AWS session has ended: sign in anew with `aws sso login`"
        case NoRegionError():
            text = "no AWS region is set: set conversations.region, or AWS_REGION"
        case InvalidRegionError():
            text = "that is no name of a region: correct conversations.region, or AWS_REGION"
        case ProfileNotFound():
            text = f"{error}: correct AWS_PROFILE"
        case HTTPClientError() | AWSConnectionError() | IncompleteReadError():
            return AwsError(f"{where} can't be reached: check {way}", retry_after_seconds=1.0)
        case BotoCoreError():
            text = f"AWS's library can't make the call ({type(error).__name__})"
        case _:
            text = f"the configuration for AWS can't be used ({error})"
    return AwsError(f"{where} can't be used: {text}")


def _explain_answer(error: ClientError, where: str, of_service: Mapping[str, str]) -> AwsError:
    code, message = code_of(error), str(error.response.get("Error", {}).get("Message", ""))
    if code == "LimitExceededException" and _is_limit(error.response):
        return AwsError(
            f"{where} can't be made: the AWS account has reached a limit ({message}): remove what "
            "nobody needs, or ask for more under Service Quotas"
        )
    if is_passing(error) or code == "TransactionCanceledException":
        return AwsError(
            f"{where} is busy ({code}): try again; if that goes on, raise its capacity",
            retry_after_seconds=1.0,
        )
    if code in _REFUSALS:
        action = _ACTION.search(message)
        what, missing = (action[1], "it") if action else (error.operation_name, "what is missing")
        told = "" if action else f": {message}"
        return NotPermittedError(
            f"{where} can't be used: AWS does not permit {what}: "
            f"add {missing} to the IAM policy{told}"
        )
    known = of_service.get(code) or _CREDENTIALS.get(code) or f"{code}: {message}"
    return AwsError(f"{where} can't be used: {known}")


def _is_limit(response: Mapping[str, Any]) -> bool:
    return _LIMIT.search(str(response.get("Error", {}).get("Message", ""))) is not None
