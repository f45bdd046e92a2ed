"""Webhooks, against a server that listens: signed as published, in order, at least once, and given up in the end."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from support.commands import RunCommand
from support.desk import FRIDAYS, WEEK, Desk, restated
from support.listeners import Listener, http_listener

from market_spine import clock
from market_spine.core import events, replay, webhooks
from market_spine.core.replay import State
from market_spine.db import Database
from market_spine.errors import ConfigurationError
from market_spine.monitor.webhooks import DELAYS, Sender, check, identify, retry_at, secrets_of, signed
from market_spine.partition import OTC

NOW = clock.moment_of(FRIDAYS[3])
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLD = "whsec_" + base64.b64encode(b"x" * 24).decode()


@pytest.fixture
def listener() -> Iterator[Listener]:
    with http_listener() as listening:
        yield listening


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    return restated(tmp_path / "files", db)


def sender(desk: Desk, listener: Listener, now: datetime = NOW) -> Sender:
    return Sender(desk.db, f"{listener.url}/hook?token=abc", secrets_of(SECRET), now)


def ids(listener: Listener) -> list[str]:
    return [{name.lower(): value for name, value in request.headers.items()}["webhook-id"] for request in listener.seen]


def sent(listener: Listener) -> list[int]:
    return [request.json["data"]["seq"] for request in listener.seen]


def test_the_signature_is_that_of_the_published_example() -> None:
    """The example of the Standard Webhooks libraries."""
    keys, moment = secrets_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), datetime.fromtimestamp(1614265330, timezone.utc)
    headers = signed("msg_p5jXN8AQM9LWM0D4loKWxJek", moment, b'{"test": 2432232314}', keys)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_dG9vIHNob3J0", f"{SECRET},short", "not base64 !"])
def test_a_weak_or_malformed_secret_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="MARKET_SPINE_WEBHOOK_SECRET is not"):
        secrets_of(text)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "example.com/hook", "http://"])
def test_only_web_addresses_are_subscribers(url: str) -> None:
    with pytest.raises(ConfigurationError):
        check(url)


@pytest.mark.parametrize(
    ("attempts", "delay"),
    [(1, timedelta(seconds=5)), (2, timedelta(minutes=5)), (9, timedelta(hours=24)), (10, None)],
    ids=["after the first", "after the second", "before the last", "after the last"],
)
def test_an_attempt_is_repeated_later_and_later(attempts: int, delay: timedelta | None) -> None:
    assert retry_at(attempts, NOW) == (NOW + delay if delay else None)


def test_a_subscriber_that_replays_from_the_start_arrives_at_the_tables(desk: Desk, listener: Listener) -> None:
    assert sender(desk, listener).catch_up() is None
    state = State()
    for request in listener.seen:
        state.apply(request.json["data"])
    assert sent(listener) == list(range(1, events.head(desk.db).size + 1))
    assert list(replay.differences(desk.db, state)) == []
    assert sender(desk, listener).catch_up() is None
    assert len(listener.seen) == events.head(desk.db).size  # nothing twice


def test_a_message_can_be_verified_with_either_key_and_tells_one_event_from_another(desk: Desk, listener: Listener) -> None:
    Sender(desk.db, listener.url, secrets_of(f"{SECRET},{OLD}"), NOW).catch_up()
    first = listener.seen[0]
    headers = {name.lower(): value for name, value in first.headers.items()}
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{first.body}".encode()
    for key, signature in zip((SECRET, OLD), headers["webhook-signature"].split(), strict=True):
        digest = hmac.new(base64.b64decode(key.removeprefix("whsec_")), content, hashlib.sha256).digest()
        assert signature == "v1," + base64.b64encode(digest).decode()
    assert (first.json["type"], first.json["data"]["seq"]) == ("capture.stored", 1)
    assert len(set(ids(listener))) == len(listener.seen)


def test_a_failure_holds_back_what_comes_after_it_until_its_time(desk: Desk, listener: Listener) -> None:
    listener.answers = [200, 200, 503]
    assert "event 3 could not be sent" in (sender(desk, listener).catch_up() or "")
    assert sent(listener) == [1, 2, 3]
    assert sender(desk, listener, NOW + timedelta(seconds=4)).catch_up() is None
    assert sent(listener) == [1, 2, 3]
    assert sender(desk, listener, NOW + timedelta(seconds=5)).catch_up() is None
    assert sent(listener) == [1, 2, 3, *range(3, events.head(desk.db).size + 1)]
    assert ids(listener)[2] == ids(listener)[3]  # so that a subscriber drops the second one


@pytest.mark.parametrize("status", [301, 307, 400, 410, 500])
@pytest.mark.one_engine
def test_whatever_is_not_2xx_is_not_accepted(desk: Desk, listener: Listener, status: int) -> None:
    listener.answers = [status]
    assert f"HTTP {status}" in (sender(desk, listener).catch_up() or "")
    assert webhooks.endpoints(desk.db)[0].cursor == 0


def test_an_event_that_is_never_accepted_becomes_a_dead_letter_and_the_next_is_sent(
    desk: Desk, listener: Listener, target: str, run_command: RunCommand
) -> None:
    listener.answers = [500] * (len(DELAYS) + 1)
    moment = NOW
    for delay in DELAYS:
        assert "event 1 could not be sent" in (sender(desk, listener, moment).catch_up() or "")
        moment += delay
    assert sender(desk, listener, moment).catch_up() is None
    assert sent(listener) == [1] * 10 + list(range(2, events.head(desk.db).size + 1))
    (letter,) = webhooks.dead_letters(desk.db)
    assert (letter.seq, letter.error) == (1, "HTTP 500 Internal Server Error")
    status = run_command("spine", "status", "--run-date", str(FRIDAYS[3]), "--db", target).stdout
    assert "1 event was given up" in status and "spine webhooks resend" in status
    assert sender(desk, listener).resend() == (1, None)
    assert webhooks.dead_letters(desk.db) == []


def test_a_subscriber_that_cannot_be_reached_changes_nothing_about_a_run(
    desk: Desk, target: str, run_command: RunCommand, listener: Listener
) -> None:
    folder = ("--data-dir", str(desk.folder), "--db", target, "--weeks", str(WEEK), "--tiers", OTC)
    day = ("--run-date", str(FRIDAYS[2]))
    nobody = ("--webhook", "http://127.0.0.1:9/hook")
    done = run_command("run_finra_weekly_schedule", *folder, *day, *nobody, env={"MARKET_SPINE_WEBHOOK_SECRET": SECRET})
    assert done.exit_code == 0 and "event 1 could not be sent to http://127.0.0.1:9/…" in done.stderr
    refused = run_command("run_finra_weekly_schedule", *folder, *day, *nobody)
    assert refused.exit_code == 2 and "MARKET_SPINE_WEBHOOK_SECRET is not set" in refused.stderr


@pytest.mark.one_engine
def test_by_hand_from_the_first_command_to_the_last(desk: Desk, target: str, run_command: RunCommand, listener: Listener) -> None:
    secret = run_command("spine", "webhooks", "secret").stdout.strip()
    env = {"MARKET_SPINE_WEBHOOK_SECRET": secret, "MARKET_SPINE_WEBHOOK": f"{listener.url}/hook"}
    size = events.head(desk.db).size
    assert run_command("spine", "webhooks", "send", "--db", target, env=env).exit_code == 0
    listed = json.loads(run_command("spine", "webhooks", "list", "--json", "--db", target).stdout)
    assert [(one["endpoint"], one["cursor"]) for one in listed["endpoints"]] == [(identify(f"{listener.url}/hook"), size)]
    assert run_command("spine", "webhooks", "seek", str(size - 1), "--db", target, env=env).exit_code == 0
    assert run_command("spine", "webhooks", "send", "--db", target, env=env).exit_code == 0
    assert sent(listener) == [*range(1, size + 1), size]
    endless = run_command("spine", "webhooks", "seek", "9" * 5000, "--db", target, env=env)
    assert (endless.exit_code, "is not an event of the log" in endless.stderr) == (2, True)
    beyond = run_command("spine", "webhooks", "seek", str(size + 1), "--db", target, env=env)
    assert beyond.exit_code == 2 and f"0 to {size}" in beyond.stderr
