"""Notifications as they arrive: by mail, by webhook, at PagerDuty's door, over weeks in which faults come and go."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from support.commands import RunCommand
from support.listeners import Listener, Mailbox, http_listener, mail_server

from market_spine.app.context import Run
from market_spine.categories import Category
from market_spine.core import anomalies
from market_spine.core.anomalies import observe, resolve_stage
from market_spine.db import Database
from market_spine.monitor.alerts import Action, Event, Notice
from market_spine.monitor.channels import addressed
from market_spine.monitor.messenger import Messenger, probe
from market_spine.partition import Partition

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # apprise's own import

FRIDAY = datetime(2026, 1, 9, 13, tzinfo=timezone.utc)
WEEKS = [FRIDAY + timedelta(weeks=n) for n in range(6)]
PARTITION = Partition(date(2025, 12, 26), "OTC")
KEY = PARTITION.key


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as box:
        yield box


@pytest.fixture
def hook() -> Iterator[Listener]:
    with http_listener() as listener:
        yield listener


@pytest.fixture
def pagerduty(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """PagerDuty's events API, at an address of this machine."""
    from apprise.plugins import pagerduty

    with http_listener() as listener:
        monkeypatch.setitem(pagerduty.PAGERDUTY_API_LOOKUP, pagerduty.PagerDutyRegion.US, listener.url)
        yield listener


def webhook(listener: Listener) -> str:
    return listener.url.replace("http://", "json://") + "/hook"


def messenger(home: Path, *urls: str) -> Messenger:
    return Messenger(urls, "ERROR", {"run": "r1"}, {"MARKET_SPINE_STATE_DIR": str(home)})


def fails(db: Database, now: datetime, category: Category = Category.EMPTY_FILE) -> int:
    run = Run(db, now.date(), now, "")
    return observe(run, category, PARTITION, "otc.psv is empty", stage="RAW", details={"hint": "fetch it again"})


def titles(listener: Listener) -> list[str]:
    return [request.json["title"] for request in listener.seen]


def test_a_fault_is_mailed_once_and_once_when_it_is_over(db: Database, mailbox: Mailbox, tmp_path: Path) -> None:
    post = messenger(tmp_path, mailbox.url)
    for now in WEEKS[:3]:
        fails(db, now)
        assert list(post.notify(db, now)) == []
    assert mailbox.subjects == ["Market Spine: EMPTY_FILE 2025-12-26 / OTC"]
    resolve_stage(db, KEY, "RAW", "ingested", WEEKS[3])
    for now in WEEKS[3:]:
        list(post.notify(db, now))
    assert mailbox.subjects[1:] == ["Market Spine: over: EMPTY_FILE 2025-12-26 / OTC"]
    assert mailbox.bodies[0].splitlines()[:2] == ["otc.psv is empty", "Try: fetch it again"]
    assert "key: market_spine:EMPTY_FILE:2025-12-26:OTC" in mailbox.bodies[0]
    assert str(mailbox.mails[0]["To"]) == "desk@example.com"


def test_an_acknowledged_fault_is_silent_until_its_date(db: Database, hook: Listener, tmp_path: Path) -> None:
    post = messenger(tmp_path, webhook(hook))
    number = fails(db, WEEKS[0])
    list(post.notify(db, WEEKS[0]))
    with db.transaction():
        db.execute("UPDATE core_anomalies SET acknowledged_until = '2026-01-30' WHERE id = ?", (number,))
    for now in WEEKS:  # Jan 9 … Feb 13
        list(post.notify(db, now))
    assert [title.partition(": ")[2].partition(" EMPTY")[0] for title in titles(hook)] == [
        "EMPTY_FILE 2025-12-26 / OTC",
        "still there:",
    ]


def test_each_kind_of_a_partition_is_an_event_of_its_own(db: Database, hook: Listener, tmp_path: Path) -> None:
    fails(db, FRIDAY, Category.EMPTY_FILE)
    fails(db, FRIDAY, Category.SOURCE_UNAVAILABLE)
    list(messenger(tmp_path, webhook(hook)).notify(db, FRIDAY))
    assert sorted(titles(hook)) == [
        "Market Spine: EMPTY_FILE 2025-12-26 / OTC",
        "Market Spine: SOURCE_UNAVAILABLE 2025-12-26 / OTC",
    ]
    assert {request.json["type"] for request in hook.seen} == {"failure"}


def test_pagerduty_resolves_the_incident_it_triggered(db: Database, pagerduty: Listener, tmp_path: Path) -> None:
    post = messenger(tmp_path, "pagerduty://routing@token")
    fails(db, FRIDAY)
    list(post.notify(db, FRIDAY))
    resolve_stage(db, KEY, "RAW", "ingested", WEEKS[1])
    list(post.notify(db, WEEKS[1]))
    sent = [request.json for request in pagerduty.seen]
    key = "market_spine:EMPTY_FILE:2025-12-26:OTC"
    assert [(event["event_action"], event["dedup_key"]) for event in sent] == [("trigger", key), ("resolve", key)]
    assert sent[0]["payload"]["severity"] == "critical"
    assert "otc.psv is empty" in sent[0]["payload"]["summary"]


def test_the_users_own_pagerduty_settings_are_kept() -> None:
    event = Event("KIND", None, None, "ERROR", "m", FRIDAY)
    url = addressed("pagerduty://routing@token/host?region=eu&dedup=mine", Notice(Action.OVER, event))
    assert url == "pagerduty://routing@token/host?region=eu&action=resolve&dedup=market_spine%3AKIND%3A-%3A-"
    assert addressed("slack://a/b/c?dedup=mine", Notice(Action.OVER, event)) == "slack://a/b/c?dedup=mine"


def test_a_refused_message_is_sent_again_with_the_next_run(
    db: Database, mailbox: Mailbox, hook: Listener, tmp_path: Path
) -> None:
    post = messenger(tmp_path, mailbox.url, webhook(hook))
    fails(db, FRIDAY)
    mailbox.closed = True
    (failure,) = post.notify(db, FRIDAY)
    assert failure.startswith("Market Spine: EMPTY_FILE 2025-12-26 / OTC could not be sent: mailto://*** rejected the message")
    assert len(hook.seen) == 1  # one channel's failure is not another's
    mailbox.closed = False
    assert list(post.notify(db, WEEKS[1])) == []
    assert (len(mailbox.mails), len(hook.seen)) == (1, 1)


def test_a_channel_that_fails_is_left_alone_for_the_rest_of_the_run(db: Database, hook: Listener, tmp_path: Path) -> None:
    for category in (Category.EMPTY_FILE, Category.NO_HEADER, Category.NO_ROWS):
        fails(db, FRIDAY, category)
    hook.answers[:] = [500] * 9
    assert len(list(messenger(tmp_path, webhook(hook)).notify(db, FRIDAY))) == 1
    assert len(hook.seen) == 1


def test_a_fault_that_came_and_went_while_the_channel_was_down_is_not_notified(db: Database, hook: Listener, tmp_path: Path) -> None:
    post = messenger(tmp_path, webhook(hook))
    fails(db, FRIDAY)
    hook.answers[:] = [500]
    list(post.notify(db, FRIDAY))
    resolve_stage(db, KEY, "RAW", "ingested", WEEKS[1])
    list(post.notify(db, WEEKS[1]))
    assert len(hook.seen) == 1


def test_a_crash_without_database_is_notified_once_and_over_when_there_is_one(db: Database, hook: Listener, tmp_path: Path) -> None:
    post = messenger(tmp_path, webhook(hook))
    crash = Event("RUN_FAILED", None, None, anomalies.CRITICAL, "cannot connect", FRIDAY)
    for now in WEEKS[:2]:
        assert list(post.notify_without_database(now, crash)) == []
    assert titles(hook) == ["Market Spine: RUN_FAILED"]
    list(post.notify(db, WEEKS[2]))
    list(post.notify(db, WEEKS[3]))
    assert titles(hook)[1:] == ["Market Spine: over: RUN_FAILED"]


def test_no_secret_of_a_url_is_in_a_failure(db: Database, tmp_path: Path) -> None:
    fails(db, FRIDAY)
    urls = (
        "mailto://me:geheim@127.0.0.1:9?to=a@example.com",
        "json://me:geheim@127.0.0.1:9/geheim?token=geheim",
        "bogus://geheim",
    )
    failures = list(messenger(tmp_path, *urls).notify(db, FRIDAY))
    assert len(failures) == 3
    assert "geheim" not in "".join(failures)
    kept = db.execute("SELECT COUNT(*) FROM core_notifications").fetchone()
    assert kept[0] == 0


def test_a_probe_opens_and_closes(pagerduty: Listener, mailbox: Mailbox) -> None:
    assert probe("pagerduty://routing@token", {}) is None
    assert [request.json["event_action"] for request in pagerduty.seen] == ["trigger", "resolve"]
    assert probe(mailbox.url, {}) is None
    assert mailbox.subjects == ["Market Spine: TEST", "Market Spine: over: TEST"]
    mailbox.closed = True
    assert "rejected the message" in (probe(mailbox.url, {}) or "")


def test_notify_test_says_which_channels_work(run_command: RunCommand, mailbox: Mailbox, tmp_path: Path) -> None:
    (tmp_path / "market_spine.toml").write_text(f'notify = ["{mailbox.url}", "json://me:geheim@127.0.0.1:9/x"]')
    tried = run_command("spine", "notify", "test", cwd=tmp_path)
    assert tried.exit_code == 1
    good, bad = tried.stdout.splitlines()
    assert good == "✓ mailto://***"
    assert bad.startswith("✗ json://***: json://*** rejected the message: ")
    assert "geheim" not in tried.stdout + tried.stderr
    assert len(mailbox.mails) == 2
    assert run_command("spine", "notify", "test", "--notify", mailbox.url, cwd=tmp_path).exit_code == 0


def test_notify_test_without_a_channel_says_where_to_set_one(run_command: RunCommand) -> None:
    tried = run_command("spine", "notify", "test")
    assert (tried.exit_code, tried.stderr.startswith("Error: no channel is set. Try: --notify URL")) == (2, True)


def test_notify_send_notifies_of_unresolved_events_without_a_run(
    run_command: RunCommand, db: Database, target: str, mailbox: Mailbox, tmp_path: Path
) -> None:
    fails(db, FRIDAY)
    for _ in range(2):
        sent = run_command("spine", "notify", "send", "--db", target, "--notify", mailbox.url, cwd=tmp_path)
        assert (sent.exit_code, sent.stdout, sent.stderr) == (0, "", "")
    assert mailbox.subjects == ["Market Spine: EMPTY_FILE 2025-12-26 / OTC"]
