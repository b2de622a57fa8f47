"""How much of something may come at once, and how much in the long run."""

import anyio


class Allowance:
    """`burst` at once, `per_second` after that."""

    def __init__(self, burst: float, per_second: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._left = burst
        self._counted_at = anyio.current_time()

    def take(self, amount: float = 1) -> bool:
        """Take it if there is so much; whether there was."""
        self._refill()
        if self._left < amount:
            return False
        self._left -= amount
        return True

    async def spend(self, amount: float = 1) -> None:
        """Take it in any case, and wait until nothing is owed."""
        self._refill()
        self._left -= amount
        if self._left < 0:
            await anyio.sleep(-self._left / self._per_second)

    def _refill(self) -> None:
        now = anyio.current_time()
        refilled = self._left + (now - self._counted_at) * self._per_second
        self._left, self._counted_at = min(refilled, self._burst), now
