"""OpenAI's chat completions, and all that speak them: Ollama, llama.cpp, vLLM, OpenRouter."""

from functools import partial

from client.llm.exchange import Exchange
from client.llm.failures import Service, explain_connection, parse_failure
from client.llm.http_client import create_http_client
from client.llm.model_spec import ModelSpec
from client.llm.openai_answer import OpenAIAnswer
from client.llm.openai_messages import to_chat_body
from client.llm.protocol import ModelError, ModelRequest


def prepare_chat(spec: ModelSpec, request: ModelRequest) -> Exchange:
    """A request for a chat completion. Without a key none is sent.

    Raises:
        BadRequestError: The messages are no whole turns.
    """
    from httpx2 import HTTPError
    from openai import AsyncOpenAI, AsyncStream, OpenAIError, omit

    endpoint, service = spec.endpoint, Service.of(spec)
    body = to_chat_body(
        request,
        model=spec.model,
        max_tokens=spec.max_output_tokens,
        for_vendor=endpoint.is_vendors_own,
    )
    if spec.temperature is not None:
        body["temperature"] = spec.temperature
    client = AsyncOpenAI(
        api_key=endpoint.key or "none",
        base_url=endpoint.base_url,
        max_retries=0,  # its retries wait as long as the provider says, even for an hour
        http_client=create_http_client(endpoint, spec.timeout_seconds),
    )
    return Exchange(
        # The raw chunks: the SDK builds its own models unchecked, ours are parsed.
        ask=partial(
            client.post,
            "/chat/completions",
            body=body,
            cast_to=object,
            options={"headers": {} if endpoint.key else {"Authorization": endpoint.basic or omit}},
            stream=True,
            stream_cls=AsyncStream[object],
        ),
        close=client.close,
        answer=OpenAIAnswer(),
        failures=(OpenAIError, HTTPError, ValueError, RecursionError),
        explain=partial(_explain, service, request, spec.timeout_seconds),
        service=service,
        timeout_seconds=spec.timeout_seconds,
    )


def _explain(
    service: Service, request: ModelRequest, timeout_seconds: float, error: Exception
) -> ModelError:
    from openai import APIConnectionError, APIError, APIStatusError

    if isinstance(error, APIStatusError):
        failure = parse_failure(error.status_code, error.body, error.response.headers)
        return service.explain(failure, request)
    if isinstance(error, APIError) and not isinstance(error, APIConnectionError):
        return service.explain(parse_failure(None, error.body, {}), request)
    return explain_connection(service, error, timeout_seconds)
