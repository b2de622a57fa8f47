"""What the bot counts, as Prometheus text. No label holds what people wrote, or who they are."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 13, 20, 30, 60, 120, 300)


class Figures:
    """Counters of one process."""

    def __init__(self, waiting: Callable[[], int]) -> None:
        """`waiting`: how many messages wait in the chats' lanes or run."""
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.updates = Counter(
            "agentic_bot_updates",
            "Updates taken in, by what they were.",
            ("kind",),
            registry=self._registry,
        )
        self.left_out = Counter(
            "agentic_bot_left_out",
            "Messages left out because somebody sent more than bot.rate.",
            registry=self._registry,
        )
        self.turns = Counter(
            "agentic_bot_turns",
            "Turns by outcome: finished, or the code of the failure.",
            ("outcome",),
            registry=self._registry,
        )
        self.first_text = Histogram(
            "agentic_bot_first_text_seconds",
            "From the begin of a turn to the first words of its reply.",
            registry=self._registry,
            buckets=_SECONDS,
        )
        self.deliveries = Counter(
            "agentic_bot_deliveries",
            "Deliveries by the state they came to.",
            ("state",),
            registry=self._registry,
        )
        self.retries = Counter(
            "agentic_bot_send_retries",
            "Requests to Telegram that were made again, by why.",
            ("why",),
            registry=self._registry,
        )
        queue = Gauge(
            "agentic_bot_queue_length",
            "Messages that wait in the chats' queues, with those being answered.",
            registry=self._registry,
        )
        queue.set_function(waiting)

    def render(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._registry)
