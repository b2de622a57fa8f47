"""Claude by Anthropic's Messages API, and whatever else speaks it."""

from functools import partial

from client.llm.anthropic_answer import AnthropicAnswer
from client.llm.anthropic_messages import to_messages_body
from client.llm.exchange import Exchange
from client.llm.failures import Service, explain_connection, parse_failure
from client.llm.http_client import create_http_client
from client.llm.model_spec import ModelSpec
from client.llm.protocol import ModelError, ModelRequest


def prepare_messages(spec: ModelSpec, request: ModelRequest) -> Exchange:
    """A request to the Messages API, with prompt caching on.

    Raises:
        BadRequestError: The messages are no whole turns.
    """
    from anthropic import AnthropicError, AsyncAnthropic, AsyncStream, omit
    from httpx2 import HTTPError

    body = to_messages_body(request, model=spec.model, max_tokens=spec.max_output_tokens)
    if spec.temperature is not None:
        body["temperature"] = spec.temperature
    endpoint, service = spec.endpoint, Service.of(spec)
    client = AsyncAnthropic(
        api_key=endpoint.key or "none",
        base_url=endpoint.base_url,
        max_retries=0,  # its retries wait as long as the provider says, even for an hour
        http_client=create_http_client(endpoint, spec.timeout_seconds),
    )
    return Exchange(
        # The raw events: the SDK builds its own models unchecked, ours are parsed.
        ask=partial(
            client.post,
            "/v1/messages",
            body=body,
            cast_to=object,
            options={"headers": {} if endpoint.key else {"Authorization": endpoint.basic or omit}},
            stream=True,
            stream_cls=AsyncStream[object],
        ),
        close=client.close,
        answer=AnthropicAnswer(),
        failures=(AnthropicError, HTTPError, ValueError, RecursionError),
        explain=partial(_explain, service, request, spec.timeout_seconds),
        service=service,
        timeout_seconds=spec.timeout_seconds,
    )


def _explain(
    service: Service, request: ModelRequest, timeout_seconds: float, error: Exception
) -> ModelError:
    from anthropic import APIStatusError

    if isinstance(error, APIStatusError):
        # An error inside a stream comes with the status of the stream's good beginning.
        status = error.status_code if error.status_code >= 300 else None
        failure = parse_failure(status, error.body, error.response.headers)
        return service.explain(failure, request)
    return explain_connection(service, error, timeout_seconds)
