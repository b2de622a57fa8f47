"""What the servers count, as Prometheus text."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from mcp.server import Server, ServerRequestContext
from mcp.server.context import CallNext, HandlerResult
from mcp_types.methods import SPEC_CLIENT_METHODS
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counters of one process; labels are few and never hold what people wrote."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._units = _Units()
        self._registry.register(self._units)
        self._http = Counter(
            "agentic_http_requests",
            "HTTP requests that were answered.",
            ("path", "status"),
            registry=self._registry,
        )
        self._calls = Counter(
            "agentic_mcp_requests",
            "MCP requests by outcome: ok, failed (a result that is an error), error (no result).",
            ("server", "method", "outcome"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "agentic_mcp_request_seconds",
            "How long MCP requests took.",
            ("server", "method"),
            registry=self._registry,
            buckets=_SECONDS,
        )

    def count_http(self, path: str, status: int) -> None:
        """Count an answer; `path` is one that is served, or `other`."""
        self._http.labels(path, status).inc()

    def watch(self, name: str, server: Server[Any]) -> None:
        """Count a server's MCP requests from now on."""

        async def count(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
            if ctx.request_id is None:
                return await call_next(ctx)
            method = ctx.method if ctx.method in SPEC_CLIENT_METHODS else "other"
            outcome, began = "error", time.perf_counter()
            try:
                result = await call_next(ctx)
                is_failed = isinstance(result, dict) and result.get("isError") is True
                outcome = "failed" if is_failed else "ok"
                return result
            finally:
                self._calls.labels(name, method, outcome).inc()
                self._seconds.labels(name, method).observe(time.perf_counter() - began)

        server.middleware.append(count)

    def watch_units(self, units: Mapping[tuple[str, str], float]) -> None:
        """Show what a store counts by itself."""
        self._units.counts.append(units)

    def watch_figures(self, collect: Callable[[], Iterable[Metric]]) -> None:
        """Show what a server counts by itself."""
        self._registry.register(_Figures(collect))

    def render(self) -> bytes:
        """All of them, in Prometheus' text format."""
        return generate_latest(self._registry)


class _Units:
    """What stores count by themselves, as Prometheus wants it when it asks."""

    def __init__(self) -> None:
        self.counts: list[Mapping[tuple[str, str], float]] = []

    def collect(self) -> Iterator[CounterMetricFamily]:
        """One sample for each verb and kind; no two stores have verbs of one name."""
        if not self.counts:
            return
        family = CounterMetricFamily(
            "agentic_dynamodb_units",
            "Capacity units that DynamoDB says were consumed, by verb of the store.",
            labels=("verb", "kind"),
        )
        for (verb, kind), count in sorted(pair for each in self.counts for pair in each.items()):
            family.add_metric((verb, kind), count)
        yield family


class _Figures(Collector):
    """What a server counts by itself, as Prometheus wants it when it asks."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        """As the server gives it."""
        return self._collect()
