"""What vendors publish about their models: the window, and how long an answer may well be.

Only families, and only what is needed to cut histories. An unknown model gets a careful default:
too large a guess ends in `ContextTooLongError`, too small a one forgets early. `context_tokens` in
mcp.yml overrides it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

DEFAULT_MODELS: Mapping[Literal["anthropic", "openai"], str] = {
    "anthropic": "claude-sonnet-5-5",
    "openai": "gpt-5.6-terra",
}
"""Used with nothing but a key: the vendors' middle of price and skill, known to their SDKs."""

OLLAMA_CONTEXT_TOKENS = 4_096
"""What Ollama loads a model with where nobody says otherwise, whatever the model could do."""


@dataclass(frozen=True, slots=True)
class KnownModel:
    """`answer_tokens`: what to keep for the answer; more where the model thinks within it."""

    context_tokens: int
    answer_tokens: int = 4_096


_THINKING_TOKENS = 16_384
_FAMILIES: tuple[tuple[str, KnownModel], ...] = (
    (r"claude-[a-z]+-5", KnownModel(1_000_000, _THINKING_TOKENS)),
    (r"claude", KnownModel(200_000)),
    (r"gpt-(5\.[4-9]|6)", KnownModel(1_050_000, _THINKING_TOKENS)),
    (r"gpt-5", KnownModel(400_000, _THINKING_TOKENS)),
    (r"gpt-4\.1", KnownModel(1_047_576)),
    (r"o1-(mini|preview)", KnownModel(128_000, _THINKING_TOKENS)),
    (r"o[134]\b", KnownModel(200_000, _THINKING_TOKENS)),
    (r"gpt-4(o|-turbo)", KnownModel(128_000)),
    (r"gpt-4", KnownModel(8_192)),
    (r"gpt-3\.5", KnownModel(16_385)),
    (r"gpt-oss", KnownModel(128_000)),
    (r"nova-(premier|2)", KnownModel(1_000_000)),
    (r"nova-(lite|pro)", KnownModel(300_000)),
    (r"nova-micro", KnownModel(128_000)),
    (r"llama4", KnownModel(128_000, 2_048)),
    (r"llama3-[1-3]", KnownModel(128_000, 2_048)),
    (r"llama3", KnownModel(8_192, 2_048)),
    (r"mistral-large-2407|pixtral-large", KnownModel(128_000)),
    (r"command-r|r1-v|v3-v", KnownModel(128_000)),
    (r"jamba-1-5", KnownModel(256_000)),
)
_BEFORE_THE_NAME = re.compile(
    r"^([a-z-]+\.)?(ai21|amazon|anthropic|cohere|deepseek|meta|mistral|openai)\."
)
"""Of an id of Amazon Bedrock: where it may run, and whose model it is."""
_UNKNOWN = KnownModel(32_768)


def look_up(model: str) -> KnownModel:
    """What is known of `model`, which may be prefixed (`openai/gpt-…`, `us.anthropic.claude-…`)."""
    name = _BEFORE_THE_NAME.sub("", model.rpartition("/")[2])
    return next((known for family, known in _FAMILIES if re.match(family, name)), _UNKNOWN)
