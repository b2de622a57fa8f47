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
)
_UNKNOWN = KnownModel(32_768)


def look_up(model: str) -> KnownModel:
    """What is known of `model`, which may be prefixed by a vendor (`openai/gpt-…`)."""
    name = model.rpartition("/")[2]
    return next((known for family, known in _FAMILIES if re.match(family, name)), _UNKNOWN)
