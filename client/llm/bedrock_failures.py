"""What goes wrong with Bedrock alone: AWS credentials, regions, and access to its models."""

import re
from collections.abc import Mapping

from client.llm.failures import Failure, Service
from client.llm.protocol import (
    BadKeyError,
    ModelError,
    ModelNotFoundError,
    ModelRequest,
    ModelUnavailableError,
)

_HOW_TO_LOG_IN = (
    "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or (without `base_url`) a "
    "Bedrock API key in AWS_BEARER_TOKEN_BEDROCK, or run where an IAM role gives them"
)
_RENEW = "they have expired: log in again or renew them"
_COMPARE = "check them; temporary ones need AWS_SESSION_TOKEN too"
_SIGN = "check the secret access key and the clock of this machine"
_ADVICE: Mapping[str, str] = {
    "ExpiredToken": _RENEW,
    "ExpiredTokenException": _RENEW,
    "UnrecognizedClientException": _COMPARE,
    "InvalidClientTokenId": _COMPARE,
    "IncompleteSignatureException": _SIGN,
    "InvalidSignatureException": _SIGN,
    "SignatureDoesNotMatch": _SIGN,
}
_DENIED = frozenset({"AccessDenied", "AccessDeniedException"})
_NO_SUCH_MODEL = re.compile(
    r"model identifier is invalid|on-demand throughput|inference profile|end of its life",
    re.IGNORECASE,
)


def explain_rejection(service: Service, failure: Failure, request: ModelRequest) -> ModelError:
    """For an error that Bedrock answered with."""
    status = f" (HTTP {failure.status})" if failure.status else ""
    advice = next((_ADVICE[code] for code in failure.codes if code in _ADVICE), None)
    if advice:
        return BadKeyError(
            f"{service.title} does not accept the AWS credentials{status}: {advice}."
        )
    if _DENIED & {*failure.codes}:
        return BadKeyError(
            f"{service.title} denies the use of {service.model!r}{status}: the account needs "
            "access to this model in this region, and who asks needs the IAM permission "
            "bedrock:InvokeModelWithResponseStream (or a valid AWS_BEARER_TOKEN_BEDROCK)."
        )
    if failure.status == 404 or (failure.status == 400 and _NO_SUCH_MODEL.search(failure.message)):
        return ModelNotFoundError(
            f"{service.title} can't offer the model {service.model!r}{status}: check `model` and "
            "`region` in mcp.yml; many models need the id of an inference profile, such as the "
            f"model's with `eu.` or `us.` before it{service.quote(failure, request)}"
        )
    return service.explain(failure, request)


def explain_preparation(service: Service, error: Exception, request: ModelRequest) -> ModelError:
    """For what kept botocore from writing or signing a request."""
    from botocore import exceptions

    match error:
        case exceptions.NoRegionError():
            return ModelNotFoundError(
                "Amazon Bedrock is asked in a region, and none is named: set `region` of this "
                "model in mcp.yml, or AWS_DEFAULT_REGION."
            )
        case exceptions.NoCredentialsError() | exceptions.PartialCredentialsError():
            return BadKeyError(f"There are no AWS credentials for Bedrock: {_HOW_TO_LOG_IN}.")
        case exceptions.ClientError():
            code = error.response.get("Error", {}).get("Code", "no reason")
            advice = _ADVICE.get(code, "check the profile and the role")
            return BadKeyError(f"AWS gives out no credentials for Bedrock ({code}): {advice}.")
        case exceptions.CredentialRetrievalError() | exceptions.TokenRetrievalError():
            # Their text may hold what a command of the user's wrote, secrets included.
            return BadKeyError(
                "What should give the AWS credentials for Bedrock failed: check the profile, and "
                "try `aws sts get-caller-identity`."
            )
        case exceptions.ConnectionError() | exceptions.HTTPClientError():
            return ModelUnavailableError(
                "AWS can't be reached for the credentials of Bedrock: check the network, and the "
                "proxy if there is one."
            )
        case exceptions.ParamValidationError():
            return service.explain(Failure(400, (), str(error)), request)
        case _:
            return BadKeyError(f"The AWS settings for Bedrock can't be used: {error}")
