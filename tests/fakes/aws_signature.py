"""AWS's signature, version 4, checked as AWS checks it, against the one secret of the tests."""

import hashlib
import hmac
import re
from urllib.parse import quote

from tests.fakes.streaming_http import HttpRequest

ACCESS_KEY = "AKIAOFTHETESTS"
SECRET_KEY = "a-secret-key-of-the-tests"
SESSION_TOKEN = "a-session-token-of-the-tests"
REGION = "eu-central-1"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_SESSION_TOKEN": SESSION_TOKEN,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
}
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<scope>[^,]+), "
    r"SignedHeaders=(?P<headers>[^,]+), Signature=(?P<signature>[0-9a-f]{64})"
)
_MUST_BE_SIGNED = {"host", "x-amz-date", "x-amz-security-token"}


def is_signed(request: HttpRequest) -> bool:
    """Whether this very request, its body included, was signed with the secret key."""
    found = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    if found is None or request.headers.get("x-amz-security-token") != SESSION_TOKEN:
        return False
    names = found["headers"].split(";")
    date, region, *rest = found["scope"].split("/")
    if found["key"] != ACCESS_KEY or rest != ["bedrock", "aws4_request"] or region != REGION:
        return False
    if not {*names} >= _MUST_BE_SIGNED:
        return False
    canonical = "\n".join(
        [
            request.method,
            quote(request.path, safe="/-_.~"),
            "",
            *(f"{name}:{request.headers[name]}" for name in names),
            "",
            found["headers"],
            hashlib.sha256(request.content).hexdigest(),
        ]
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    moment = request.headers["x-amz-date"]
    to_sign = "\n".join(["AWS4-HMAC-SHA256", moment, found["scope"], digest])
    key = f"AWS4{SECRET_KEY}".encode()
    for part in (date, region, *rest, to_sign):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.compare_digest(key.hex(), found["signature"])
