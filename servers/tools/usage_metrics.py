"""Figures of tools as Prometheus wants them: by tool, never by owner."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from servers.tools.figures import STEPS_PER_DOUBLING, Figures, to_seconds

_BOUNDS = range(0, 17 * STEPS_PER_DOUBLING, 2 * STEPS_PER_DOUBLING)
"""Every fourfold from 1 ms to 65 s: each tool has so many series."""


def collect_figures(totals: Mapping[str, Figures]) -> Iterator[Metric]:
    """What was counted since the start."""
    calls = CounterMetricFamily(
        "agentic_tool_calls",
        "Calls of the tools server's tools by outcome: ok, or the code of the error.",
        labels=("tool", "outcome"),
    )
    received = CounterMetricFamily(
        "agentic_tool_received_bytes",
        "What endpoints sent as bodies of answers, as it came over the network.",
        labels=("tool",),
    )
    seconds = HistogramMetricFamily(
        "agentic_tool_call_seconds", "How long calls took.", labels=("tool",)
    )
    for tool, figures in totals.items():
        failed = sum(figures.errors.values())
        for outcome, count in {"ok": figures.calls - failed, **figures.errors}.items():
            calls.add_metric((tool, outcome), count)
        received.add_metric((tool,), figures.bytes_in)
        seconds.add_metric((tool,), list(_iterate_buckets(figures)), figures.seconds)
    return iter((calls, received, seconds))


def _iterate_buckets(figures: Figures) -> Iterator[tuple[str, int]]:
    for bound in _BOUNDS:
        count = sum(each for bucket, each in figures.buckets.items() if bucket <= bound)
        yield str(to_seconds(bound)), count
    yield "+Inf", figures.calls
