"""The samples in Prometheus's text format: as a textfile, to a Pushgateway, or at /metrics.

prometheus-client (extra `metrics`) is imported only here, and only when something is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from market_spine.calendar.publication import EXCHANGE, GRACE_DAYS, Calendar
from market_spine.db import Database
from market_spine.monitor import samples
from market_spine.monitor.deadline import Deadline
from market_spine.monitor.samples import METRICS, Sample

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
JOB = "market_spine"
PACKAGE = "prometheus_client"
PUSH_SECONDS = 10


def text(samples: Iterable[Sample]) -> bytes:
    """The samples in Prometheus's text format."""
    from prometheus_client import generate_latest

    return generate_latest(_registry(samples))


def exposition(
    db: Database, now: datetime, deadline: Deadline, *, calendar: Calendar = EXCHANGE, grace_days: int = GRACE_DAYS
) -> bytes:
    """The body of /metrics, of CONTENT_TYPE."""
    return text(samples.take(db, now, deadline, calendar=calendar, grace_days=grace_days))


def write_textfile(path: str, samples: Iterable[Sample]) -> None:
    """For node_exporter's textfile collector: written beside it and renamed, so that nobody reads a partial file."""
    from prometheus_client import write_to_textfile

    if Path(path).exists() and not Path(path).is_file():  # root could rename it over a device: /dev/null would be gone
        raise OSError(f"{path} is not a file")
    write_to_textfile(path, _registry(samples))


def push(url: str, samples: Iterable[Sample], *, add: bool = False, seconds: float = PUSH_SECONDS) -> None:
    """To a Pushgateway, job `market_spine`: replaces what was there, or with `add` only metrics of the same name."""
    from prometheus_client.exposition import basic_auth_handler, default_handler, push_to_gateway, pushadd_to_gateway

    parts = urlsplit(url)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")

    def send(url: str, method: str, timeout: float | None, headers: list[tuple[str, str]], data: bytes) -> Any:
        if user:
            return basic_auth_handler(url, method, timeout, headers, data, user, password)
        return default_handler(url, method, timeout, headers, data)

    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    (pushadd_to_gateway if add else push_to_gateway)(bare, JOB, _registry(samples), timeout=seconds, handler=send)


def _registry(samples: Iterable[Sample]) -> CollectorRegistry:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.name, []).append(sample)

    class Collector:
        def collect(self) -> Iterator[Metric]:
            for name, group in by_name.items():
                kind = METRICS[name]
                make = CounterMetricFamily if kind.type == "counter" else GaugeMetricFamily
                family = make(name, kind.help, labels=kind.labels)
                for sample in group:
                    family.add_metric(sample.labels, sample.value)
                yield family

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector())
    return registry
