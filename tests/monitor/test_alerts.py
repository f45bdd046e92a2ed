"""Alert rules and dashboard: they ask for what the program exports, and the rules fire when they should."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from market_spine.calendar.publication import GRACE_DAYS, due_date
from market_spine.cli.commands.help import TOPICS
from market_spine.monitor.deadline import parse_deadline
from market_spine.monitor.samples import METRICS, expected_run
from market_spine.partition import NMS_TIER_1, Partition

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "docs" / "ops" / "prometheus"
DASHBOARD = ROOT / "docs" / "ops" / "grafana" / "market-spine.json"
FUNCTIONS_OF_GRAFANA = {"$__interval": "5m", "$job": ".*"}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def queries() -> list[str]:
    """Every expression of the dashboard: panels, annotations and variables."""
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    targets = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return targets + [annotation["expr"] for annotation in dashboard["annotations"]["list"]]


def asked_for(expression: str) -> set[tuple[str, frozenset[str]]]:
    """Each metric of an expression with the labels its selector names."""
    selectors = re.findall(r"(market_spine_\w+)(?:\{([^}]*)\})?", expression)
    return {(name, frozenset(re.findall(r"(\w+)\s*[=!]~?", selector)) - {"job", "instance"}) for name, selector in selectors}


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    tool = shutil.which("promtool")
    if tool is None:
        assert "CI" not in os.environ, "promtool is missing: apt-get install prometheus"
        pytest.skip("promtool is not here: apt-get install prometheus")
    return subprocess.run([tool, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("expression", [*(rule["expr"] for rule in rules()), *queries()])
def test_each_expression_asks_for_what_is_exported(expression: str) -> None:
    asked = asked_for(expression)
    assert asked
    assert [(name, labels) for name, labels in asked if name not in METRICS or not labels <= set(METRICS[name].labels)] == []


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_each_alert_names_its_page_as_a_command_and_as_a_link(rule: dict[str, Any]) -> None:
    command, link = rule["annotations"]["runbook"], rule["annotations"]["runbook_url"]
    page, _ = TOPICS[command.removeprefix("spine help ")]
    assert link.endswith(f"/{page}") and (ROOT / urlsplit(link).path.lstrip("/")).is_file()


def test_each_label_grouped_by_belongs_to_the_metric() -> None:
    for query in queries():
        for label in re.findall(r"by \(([^)]*)\)", query):
            (name,) = {name for name, _ in asked_for(query)}
            assert set(label.replace(" ", "").split(",")) <= set(METRICS[name].labels), query


def test_each_metric_is_shown_or_watched() -> None:
    """What nobody looks at need not be exported."""
    dashboard = DASHBOARD.read_text("utf-8")
    alerts = "".join(rule["expr"] for rule in rules())
    assert [name for name in METRICS if name not in dashboard and name not in alerts] == []


def test_the_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


@pytest.mark.parametrize("name", ["alerts.test.yml", "calendar.test.yml"])
def test_the_alerts_fire_when_they_should(name: str) -> None:
    ran = promtool("test", "rules", PROMETHEUS / name)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_dashboards_queries_are_promql(tmp_path: Path) -> None:
    """As recording rules, which promtool can check."""
    records = []
    for number, query in enumerate(queries()):
        for variable, value in FUNCTIONS_OF_GRAFANA.items():
            query = query.replace(variable, value)
        records.append({"record": f"panel:query_{number}", "expr": query})
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": records}]}))
    ran = promtool("check", "rules", path)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def deadlines() -> Iterator[tuple[str, str, int]]:
    """The moments that calendar.test.yml is about: an ordinary Monday and the next, which is a holiday."""
    for schedule in ("Mon-Fri 12:00", "Fri 12:00"):
        deadline = parse_deadline(schedule)
        for kind, monday in (("ordinary", date(1970, 2, 16)), ("holiday", date(1970, 2, 23))):
            yield schedule, f"run, {kind}", int(expected_run(monday - timedelta(days=3), deadline).timestamp())
            published = due_date(Partition(monday - timedelta(days=17), NMS_TIER_1))
            assert (published - monday).days == (kind == "holiday")
            yield schedule, f"week, {kind}", int(deadline.after(published + timedelta(days=GRACE_DAYS)).timestamp())


def test_the_calendar_of_the_alert_tests_is_the_programs() -> None:
    text = (PROMETHEUS / "calendar.test.yml").read_text("utf-8")
    table = {
        m[1].strip(): (int(m[2]), int(m[3])) for m in re.finditer(r"^#   ((?:run|week), \w+)\s+(\d+) .*?\s+(\d+) ", text, re.M)
    }
    for schedule, what, moment in deadlines():
        assert table[what][0 if schedule.startswith("Mon") else 1] == moment
    used = {int(value) for value in re.findall(r"values: (\d+)\+0x", text)}
    assert {daily for daily, _ in table.values()} <= used <= {moment for pair in table.values() for moment in pair}


def test_each_metric_is_on_the_page_as_it_is() -> None:
    page = (ROOT / "docs" / "ops" / "monitoring.md").read_text("utf-8")
    rows = {
        m[1]: (m[2], tuple(re.findall(r"`(\w+)`", m[3])), m[4])
        for m in re.finditer(r"^\| `(market_\w+)` \| (\w+) \| (.*?) \| (.*) \|$", page, re.M)
    }
    assert rows == {name: (kind.type, kind.labels, kind.help) for name, kind in METRICS.items()}


def test_every_alert_names_a_page_of_this_repository() -> None:
    pages = [rule["annotations"]["runbook_url"].removeprefix("https://runbooks.example.com/") for rule in rules()]
    assert [page for page in pages if not (ROOT / page).is_file()] == []
