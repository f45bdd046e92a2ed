"""The pages of 600 weeks over HTTP, in one process: after a run of six weeks, and kept, against plain Jinja2 of a ready list."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from statistics import median

import httpx

from bench import many_weeks
from bench.contest import Setting
from bench.goals import Finding, Goal
from bench.many_weeks import NEWEST

WEEKS, TOUCHED = 600, 6
_DAY = NEWEST + timedelta(days=37)
_GOALS_MS = {"/weeks": 150, "/": 30}
_PLAIN = """<table>{% for week, tiers in weeks %}<tr><th>{{ week }}</th>{% for tier, state, glyph in tiers %}
<td class="{{ state }}"><a href="/weeks/{{ week }}/{{ tier }}" aria-label="{{ tier }}, {{ week }}: {{ state }}">{{ glyph }}</a>
{% endfor %}</tr>{% endfor %}</table>"""


def pages(setting: Setting) -> Finding:
    """600 weeks of three tiers: /weeks and / the first time after a run of six weeks, and kept, with HTTP and its client; CPU."""
    from pages.demonstration import looking_at

    from market_spine.page.routes import Display

    finding = Finding("page", pages.__doc__ or "", setting.rounds)
    target = _store(setting)
    with looking_at(str(target), Display(day=_DAY)) as client:
        plain = _plain(client)
        for path in _GOALS_MS:
            client.get(path)
            _compare(finding, setting, path, client, target, plain)
    return finding


def _store(setting: Setting) -> Path:
    from market_spine.db import connect, migrations

    path = setting.work / "pages.db"
    if not path.exists():
        db = connect(str(path))
        migrations.prepare(db)
        many_weeks.fill(db, WEEKS)
        db.close()
    return path


def _compare(
    finding: Finding, setting: Setting, path: str, client: httpx.Client, target: Path, plain: Callable[[], object]
) -> None:
    """The first view after a run, the kept one, and the other's rendering, in turn."""
    page = client.get(path).content
    first, kept, other = [], [], []
    for number in range(setting.rounds):
        _run(target, number)
        first.append(1000 * _cpu(partial(client.get, path)))
        kept.append(1000 * _cpu(partial(client.get, path)))
        other.append(1000 * _cpu(plain))
    packed = len(gzip.compress(page))
    finding.rows.append(
        {
            "what": path,
            "first ms": round(median(first), 1),
            "kept ms": round(median(kept), 1),
            "plain Jinja2 ms": round(median(other), 1),
            "bytes": len(page),
            "gzip bytes": packed,
        }
    )
    finding.goals.append(Goal(f"{path} after a run of {TOUCHED} weeks: CPU ms", median(first), _GOALS_MS[path]))
    if path == "/weeks":
        ratio = median(a / b for a, b in zip(first, other, strict=True))
        finding.goals += [
            Goal("/weeks after a run ÷ plain Jinja2 of its cells", ratio, 8),
            Goal("/weeks kept ÷ the first time", median(kept) / median(first), 0.25),
            Goal("/weeks: bytes, gzip", packed, 60_000),
        ]


def _run(target: Path, number: int) -> None:
    """What a run of six weeks leaves of the log: an event of each partition."""
    from market_spine import clock
    from market_spine.core import anomalies
    from market_spine.db import connect
    from market_spine.partition import DOMAIN, TIERS, partition_key

    db, now = connect(str(target)), clock.moment_of(_DAY)
    for week in (NEWEST - timedelta(weeks=back) for back in range(TOUCHED)):
        for tier in TIERS:
            where = partition_key(str(week), tier)
            one = anomalies.record_anomaly(
                db, domain=DOMAIN, severity="INFO", category="BENCH", message=f"run {number}", partition_key=where, now=now
            )
            with db.transaction():
                db.execute("UPDATE core_anomalies SET resolved_at = ? WHERE id = ?", (clock.stamp(now), one))
                anomalies.closed(db, [(one, where)], "seen", now)
    db.close()


def _plain(client: httpx.Client) -> Callable[[], object]:
    """Plain Jinja2 with the cells of the heat map, ready as a list."""
    from jinja2 import Environment

    cells = client.get("/weeks", params={"format": "json", "table": "weeks"}).json()["tables"]["weeks"]
    weeks: dict[str, list[tuple[str, str, str]]] = {}
    for cell in cells:
        weeks.setdefault(cell["week_ending"], []).append((cell["tier"], cell["state"], "●"))
    template = Environment(autoescape=True).from_string(_PLAIN)
    return lambda: template.render(weeks=list(weeks.items()))


def _cpu(act: Callable[[], object]) -> float:
    began = time.process_time()
    act()
    return time.process_time() - began
