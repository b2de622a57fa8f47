"""What the fixture server asks back before it answers: in the modern era, in rounds."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mcp.server import ServerRequestContext
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    GetPromptRequestParams,
    GetPromptResult,
    InputRequest,
    InputRequiredResult,
    InputResponses,
    ListRootsRequest,
    PromptMessage,
    SamplingMessage,
    TextContent,
)

Answer = CallToolResult | InputRequiredResult
Ask = Callable[[ServerRequestContext[Any], CallToolRequestParams], Awaitable[Answer]]
PROMPT_NAME = "test_input_required_result_prompt"


def _form(message: str, **kinds: str) -> ElicitRequest:
    schema = {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in kinds.items()},
        "required": list(kinds),
    }
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def _sample(text: str) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=TextContent(text=text))
    return CreateMessageRequest(
        params=CreateMessageRequestParams(messages=[message], max_tokens=100)
    )


def _done(responses: InputResponses) -> CallToolResult:
    told = {key: each.model_dump(mode="json", exclude_none=True) for key, each in responses.items()}
    return CallToolResult(content=[TextContent(text=f"done with {told}")])


def _asker(requests: Mapping[str, InputRequest], state: str | None = None) -> Ask:
    """A tool that needs all of these, and, if it gave a state, that state."""

    async def ask(ctx: ServerRequestContext[Any], params: CallToolRequestParams) -> Answer:
        given = params.input_responses or {}
        if requests.keys() <= given.keys() and params.request_state == state:
            return _done(given)
        return InputRequiredResult(input_requests=dict(requests), request_state=state)

    return ask


async def _ask_twice(ctx: ServerRequestContext[Any], params: CallToolRequestParams) -> Answer:
    given = params.input_responses or {}
    match params.request_state:
        case "named" if "step2" in given:
            return _done(given)
        case "begun" if "step1" in given:
            step, state, form = "step2", "named", _form("Which color?", color="string")
        case _:
            step, state, form = "step1", "begun", _form("Which name?", name="string")
    return InputRequiredResult(input_requests={step: form}, request_state=state)


async def _ask_what_is_known(
    ctx: ServerRequestContext[Any], params: CallToolRequestParams
) -> Answer:
    known = ctx.session.client_capabilities
    requests: dict[str, InputRequest] = {}
    if known is not None and known.elicitation is not None:
        requests["form"] = _form("Is it right?", ok="boolean")
    if known is not None and known.sampling is not None:
        requests["sample"] = _sample("Is it right?")
    return await _asker(requests)(ctx, params)


_NAME = _form("Which name?", name="string")
_CONFIRM = _form("Is it right?", ok="boolean")
ROUND_TOOLS: dict[str, Ask] = {
    "test_input_required_result_elicitation": _asker({"user_name": _NAME}),
    "test_input_required_result_sampling": _asker({"capital_question": _sample("Which capital?")}),
    "test_input_required_result_list_roots": _asker({"client_roots": ListRootsRequest()}),
    "test_input_required_result_request_state": _asker({"confirm": _CONFIRM}, "confirming"),
    "test_input_required_result_tampered_state": _asker({"confirm": _CONFIRM}, "confirming"),
    "test_input_required_result_multiple_inputs": _asker(
        {"user_name": _NAME, "greeting": _sample("Greet."), "client_roots": ListRootsRequest()},
        "several",
    ),
    "test_input_required_result_multi_round": _ask_twice,
    "test_input_required_result_capabilities": _ask_what_is_known,
    "test_streaming_elicitation": _asker({"confirm": _CONFIRM}),
}


def ask_for_prompt(params: GetPromptRequestParams) -> GetPromptResult | InputRequiredResult:
    given = params.input_responses or {}
    if "user_context" not in given:
        return InputRequiredResult(input_requests={"user_context": _form("On what?", on="string")})
    text = _done(given).content
    return GetPromptResult(messages=[PromptMessage(role="user", content=each) for each in text])
