"""What serving counts, in Prometheus' words: one prefix, `_total`, `_seconds`.

Under `bentoml serve` each worker writes its figures into files of one directory (PROMETHEUS_MULTIPROC_DIR),
and the page adds them up; elsewhere the page shows this process. What other workers counted is on it a
tenth of a second later.
"""

import asyncio
import os
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

_SAMPLED = 16
_FLUSH_S = 0.1
_BUCKETS_S = (
    0.00001,
    0.00003,
    0.0001,
    0.0002,
    0.0005,
    0.001,
    0.002,
    0.005,
    0.01,
    0.02,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
)


class ServingMetrics:
    """The counters of one worker."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._passed: dict[str, int] = {}
        self._children: dict[tuple[Any, tuple[str, ...]], Any] = {}
        self._waiting: dict[Any, int] = {}
        self.requests = Counter(
            "tailor_requests_total",
            "Answers by route and status.",
            ["route", "status"],
            registry=self._registry,
        )
        self.stage = Histogram(
            "tailor_stage_seconds",
            f"Time by stage, of every {_SAMPLED}th request.",
            ["stage"],
            buckets=_BUCKETS_S,
            registry=self._registry,
        )
        self.decisions = Counter(
            "tailor_decisions_total",
            "Decisions by strategy and model version.",
            ["strategy", "model_version"],
            registry=self._registry,
        )
        self.events = Counter(
            "tailor_events_total",
            "Activity events by what became of them.",
            ["result"],
            registry=self._registry,
        )
        self.cookies_refused = Counter(
            "tailor_cookies_refused_total",
            "Cookies that counted for nothing, by what is wrong with them.",
            ["fault"],
            registry=self._registry,
        )
        self.rate_limited = Counter(
            "tailor_rate_limited_total",
            "Requests turned away because a key or an address asked too often.",
            ["limit"],
            registry=self._registry,
        )
        self.swaps = Counter(
            "tailor_champion_changes_total",
            "Champions taken over or refused.",
            ["result"],
            registry=self._registry,
        )
        self.catalogue_read = Gauge(
            "tailor_catalogue_read_timestamp_seconds",
            "When the oldest catalogue in use was read.",
            registry=self._registry,
            multiprocess_mode="livemin",
        )

    def sampled(self, stage: str) -> bool:
        """Whether to take the time of what comes to this stage: the first, and every 16th after it.

        To add a time to a file takes as long as some of the stages.
        """
        self._passed[stage] = passed = self._passed.get(stage, 0) + 1
        return passed % _SAMPLED == 1

    def took(self, stage: str, seconds: float) -> None:
        """Add a time to a stage."""
        self._child(self.stage, stage).observe(seconds)

    def count_request(self, route: str, status: int) -> None:
        """Count an answer."""
        self._count(self._child(self.requests, route, str(status)))

    def count_decision(self, strategy: str, model_version: str) -> None:
        """Count a decision."""
        self._count(self._child(self.decisions, strategy, model_version))

    def count_events(self, result: str, n_events: int) -> None:
        """Count events of which the same became."""
        self._child(self.events, result).inc(n_events)

    def flush(self) -> None:
        """Add what was counted lately to the counters."""
        waiting, self._waiting = self._waiting, {}
        for child, times in waiting.items():
            child.inc(times)

    def _count(self, child: Any) -> None:
        """Add one, within a tenth of a second: to add to a file takes longer than much of a decision."""
        if not self._waiting:
            asyncio.get_running_loop().call_later(_FLUSH_S, self.flush)
        self._waiting[child] = self._waiting.get(child, 0) + 1

    def _child(self, metric: Any, *labels: str) -> Any:
        """The one series of a metric, looked up once: it takes a lock."""
        found = self._children.get((metric, labels))
        if found is None:
            found = self._children[metric, labels] = metric.labels(*labels)
        return found

    def page(self) -> bytes:
        """Return the metrics of all workers in Prometheus' text format."""
        self.flush()
        directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        if not directory:
            return bytes(generate_latest(self._registry))
        together = CollectorRegistry()
        MultiProcessCollector(together, path=directory)
        return bytes(generate_latest(together))
