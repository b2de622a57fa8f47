"""What a turn has taken so far, and whether that is as much as it may."""

import time
from typing import Any

from agentic.config.models import LimitsConfig, Price
from client.llm.protocol import Usage


class LimitReachedError(Exception):
    """The turn took as much as one turn may; the text names the limit."""


class Spending:
    """Steps, tokens, seconds and, where there is a price, money."""

    def __init__(self, limits: LimitsConfig, price: Price | None) -> None:
        self.steps = 0
        self._limits = limits
        self._price = price
        self._usage = Usage()
        self._began = time.monotonic()

    def add_step(self, usage: Usage) -> None:
        """Count one step."""
        self.steps += 1
        self._usage += usage

    def check(self) -> None:
        """Whether there may be one more step.

        Raises:
            LimitReachedError: No.
        """
        limits, tokens = self._limits, self._usage.input_tokens + self._usage.output_tokens
        if self.steps >= limits.max_steps:
            raise LimitReachedError(f"it took {self.steps} steps (limits.max_steps)")
        if tokens >= limits.max_turn_tokens:
            raise LimitReachedError(f"it took {tokens:,} tokens (limits.max_turn_tokens)")
        cost = self._cost()
        if cost is not None and limits.max_turn_cost is not None and cost >= limits.max_turn_cost:
            raise LimitReachedError(f"it cost {cost:.4f} (limits.max_turn_cost)")

    def to_metadata(self) -> dict[str, Any]:
        """All of it, for the reply."""
        cost = self._cost()
        return {
            "usage": usage_json(self._usage),
            "seconds": round(time.monotonic() - self._began, 3),
            "steps": self.steps,
            **({} if cost is None else {"cost": round(cost, 6)}),
        }

    def _cost(self) -> float | None:
        if self._price is None:
            return None
        usage, price = self._usage, self._price
        return (usage.input_tokens * price.input + usage.output_tokens * price.output) / 1_000_000


def usage_json(usage: Usage) -> dict[str, int]:
    """Tokens as metadata has them."""
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
    }
