"""Models of Amazon Bedrock, by its Converse API.

botocore, on which boto3 stands, writes and signs each request, with the credentials, the region
and the endpoint that AWS's own rules find: variables of the process, a profile, an IAM role, a
Bedrock API key. It does not send it: its threads can't be stopped while a model is silent.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol, cast

from client.llm.bedrock_answer import BedrockAnswer
from client.llm.bedrock_failures import explain_preparation, explain_rejection
from client.llm.bedrock_messages import to_converse_parameters
from client.llm.bedrock_stream import RejectedError, open_event_stream
from client.llm.exchange import Exchange
from client.llm.failures import Service, explain_connection
from client.llm.http_client import create_http_client
from client.llm.model_spec import ModelSpec, parse_endpoint
from client.llm.protocol import BadKeyError, ModelError, ModelRequest

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse
    from botocore.session import Session

_CREDENTIALS_SECONDS = 10


class _BedrockRuntime(Protocol):
    """What is used of botocore's client, which is generated when it is created."""

    meta: Any

    def converse_stream(self, **parameters: object) -> object: ...


class Bedrock:
    """Amazon Bedrock in `region`, or where AWS's own rules say; keeps the credentials it found."""

    def __init__(self, region: str | None) -> None:
        self._region = region
        self._session: Session | None = None
        self._lock = Lock()

    def prepare(self, spec: ModelSpec, request: ModelRequest) -> Exchange:
        """A signed request for a stream. May ask for credentials over the network.

        Raises:
            ModelError: The messages are no whole turns; or there are no credentials or no region.
        """
        from httpx2 import HTTPError, Request

        service = _create_service(spec)
        parameters = to_converse_parameters(
            request,
            model=spec.model,
            max_tokens=spec.max_output_tokens,
            temperature=spec.temperature,
        )
        signed = self._sign(parameters, spec, service, request)
        headers = {name: _to_text(value) for name, value in signed.headers.items()}
        service = replace(service, secret=_find_secret(headers))
        client = create_http_client(parse_endpoint(signed.url), spec.timeout_seconds)
        sent = Request(
            signed.method, signed.url, headers=headers, content=cast("bytes", signed.body)
        )
        return Exchange(
            ask=partial(open_event_stream, client, sent),
            close=client.aclose,
            answer=BedrockAnswer(spec.model),
            failures=(RejectedError, HTTPError, ValueError, RecursionError),
            explain=partial(self._explain, service, request, spec.timeout_seconds),
            service=service,
            timeout_seconds=spec.timeout_seconds,
        )

    def _sign(
        self,
        parameters: Mapping[str, Any],
        spec: ModelSpec,
        service: Service,
        request: ModelRequest,
    ) -> "AWSPreparedRequest":
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            with self._lock:  # a session may be used by one thread at a time
                return self._write(parameters, spec.endpoint.base_url or None)
        except (BotoCoreError, ClientError, ValueError) as error:
            self._session = None  # it never looks again at files that somebody may mend
            failure = explain_preparation(service, error, request)
        raise failure

    def _write(self, parameters: Mapping[str, Any], base_url: str | None) -> "AWSPreparedRequest":
        from botocore.awsrequest import AWSResponse
        from botocore.compat import HTTPHeaders
        from botocore.config import Config

        # A signature is good for one address; an API key would be good for whoever gets it.
        config = Config(signature_version="v4") if base_url else None
        self._session = self._session or _open_session()
        client = cast(
            "_BedrockRuntime",
            self._session.create_client(
                "bedrock-runtime", region_name=self._region, endpoint_url=base_url, config=config
            ),
        )
        written: list[AWSPreparedRequest] = []

        def keep(request: "AWSPreparedRequest", **_: object) -> "AWSResponse":
            """An answer given before sending keeps botocore from sending."""
            written.append(request)
            return AWSResponse(request.url, 200, HTTPHeaders(), None)

        client.meta.events.register("before-send.bedrock-runtime.ConverseStream", keep)
        client.converse_stream(**parameters)
        return written[0]

    def _explain(
        self, service: Service, request: ModelRequest, timeout_seconds: float, error: Exception
    ) -> ModelError:
        if not isinstance(error, RejectedError):
            return explain_connection(service, error, timeout_seconds)
        failure = explain_rejection(service, error.failure, request)
        if isinstance(failure, BadKeyError):
            self._session = None  # renewed credentials are to be found without a restart
        return failure


def _open_session() -> "Session":
    from botocore.config import Config
    from botocore.session import Session

    # At DEBUG it writes tokens and whole conversations.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    session = Session()
    session.set_default_client_config(  # also for those who give out credentials
        Config(
            connect_timeout=_CREDENTIALS_SECONDS,
            read_timeout=_CREDENTIALS_SECONDS,
            retries={"total_max_attempts": 1},
        )
    )
    return session


def _create_service(spec: ModelSpec) -> Service:
    if spec.endpoint.base_url:
        return Service.of(spec)
    return Service("Amazon Bedrock", spec.model, spec.endpoint.key_advice, is_public=True)


def _to_text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _find_secret(headers: Mapping[str, str]) -> str:
    """What must not be shown of a signed request: a token. The secret key is not in it."""
    token = headers.get("X-Amz-Security-Token", "")
    authorization = headers.get("Authorization", "")
    return token or authorization.removeprefix("Bearer ")
