"""What serving counts, in Prometheus' words: one prefix, `_total`, `_seconds`.

Under `bentoml serve` each worker writes its figures into files of one directory (PROMETHEUS_MULTIPROC_DIR),
and the page adds them up; elsewhere the page shows this process.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class ServingMetrics:
    """The counters of one worker."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "tailor_requests_total",
            "Answers by route and status.",
            ["route", "status"],
            registry=self._registry,
        )
        self.stage = Histogram(
            "tailor_stage_seconds", "Time by stage.", ["stage"], buckets=_BUCKETS_S, registry=self._registry
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

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time spent inside to a stage."""
        started = perf_counter()
        try:
            yield
        finally:
            self.stage.labels(stage).observe(perf_counter() - started)

    def page(self) -> bytes:
        """Return the metrics of all workers in Prometheus' text format."""
        directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        if not directory:
            return bytes(generate_latest(self._registry))
        together = CollectorRegistry()
        MultiProcessCollector(together, path=directory)
        return bytes(generate_latest(together))
