"""The API source when the network, FINRA's service or the login fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from stand_ins.finra_fake import FinraFake
from stand_ins.finra_faults import (
    Fault,
    cut,
    status,
    tier,
)
from support.api_answers import OTCE, T1, T2, OpenApi, offered

from market_spine import clock
from market_spine.app.source import Offer
from market_spine.app.source.api import ApiSettings
from market_spine.app.source.sockets import Sockets
from market_spine.errors import ConfigurationError, SourceError

# --- Faults of the network --------------------------------------------------------------------------------------------

PASSING: list[tuple[str, Fault]] = [
    ("503", status(503)),
    ("502", status(502)),
    ("504", status(504)),
    ("429", status(429)),
    ("429 with Retry-After", status(429, Retry_After="0")),
    ("a connection reset", cut("reset")),
    ("a body shorter than promised", cut("length")),
]


@pytest.mark.parametrize("fault", [p[1] for p in PASSING], ids=[p[0] for p in PASSING])
def test_a_passing_fault_is_outlived(fake: FinraFake, open_api: OpenApi, fault: Fault) -> None:
    source = open_api()
    whole = offered(source.fetch(T1)).content
    fake.page_max = 20
    fake.fail(fault, times=2, skip=1)
    assert offered(source.fetch(T1)).content == whole


@pytest.mark.parametrize("fault", [p[1] for p in PASSING], ids=[p[0] for p in PASSING])
def test_a_fault_that_stays_is_one_clear_error(fake: FinraFake, open_api: OpenApi, fault: Fault) -> None:
    fake.fail(fault)
    with pytest.raises(SourceError) as caught:
        open_api().fetch(T1)
    assert caught.value.category == "SOURCE_UNAVAILABLE"
    assert "127.0.0.1" in caught.value.message
    assert not any(mark in caught.value.message for mark in ("\n", "('", "object at"))
    assert len(caught.value.message) < 300


def test_a_tier_that_fails_leaves_the_others_their_patience(fake: FinraFake, open_api: OpenApi) -> None:
    fake.fail(status(503), when=tier("T2"))
    source = open_api()
    for _ in range(2):
        with pytest.raises(SourceError):
            source.fetch(T2)
    assert len(fake.asked(tier("T2"))) == 3 + 2  # after giving up once, the next one is tried only twice
    fake.fail(status(503), when=tier("T1"), times=1)
    fake.fail(status(503), when=tier("OTCE"), times=2)
    assert isinstance(source.fetch(T1), Offer)
    assert isinstance(source.fetch(OTCE), Offer)


def test_retry_after_is_waited_for_and_one_beyond_reason_is_a_refusal(
    fake: FinraFake, open_api: OpenApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(Sockets, "pause", lambda _, seconds: pauses.append(seconds))
    fake.fail(status(429, Retry_After="3600"), times=1)
    with pytest.raises(SourceError, match="a pause of 3600 s"):
        open_api().fetch(T1)
    assert len(fake.asked()) == 1
    fake.fail(status(429, Retry_After="7"), times=1)
    assert isinstance(open_api().fetch(T1), Offer)
    assert 7 in pauses


def test_a_server_that_is_not_there_is_said_in_one_line(open_api: OpenApi) -> None:
    with pytest.raises(SourceError, match="cannot reach 127") as caught:
        open_api(MARKET_SPINE_FINRA_BASE_URL="http://127.0.0.1:9").fetch(T1)
    assert caught.value.category == "SOURCE_UNAVAILABLE"


def test_a_refusal_carries_finras_own_words(fake: FinraFake, open_api: OpenApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("market_spine.app.source.api._week_and_tier", lambda partition: [])
    with pytest.raises(SourceError, match="Sorting is allowed only if all partitions keys") as caught:
        open_api().fetch(T1)
    assert caught.value.category == "SOURCE_REFUSED"


def test_at_most_twenty_requests_a_second(fake: FinraFake, open_api: OpenApi, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(clock, "ticks", lambda: sum(pauses))
    monkeypatch.setattr(Sockets, "pause", lambda _, seconds: pauses.append(seconds))
    fake.page_max = 3
    open_api(paced=True).fetch(T1)
    count = len(fake.asked())
    assert count == 18
    assert sum(pauses) == pytest.approx((count - 1) / 20), "by a clock that only its own pauses move"


# --- The login --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lasts", [43169, "43169"], ids=["a number", "text"])
def test_a_token_is_fetched_once_and_used_for_everything(fake: FinraFake, open_api: OpenApi, lasts: object) -> None:
    fake.require_token, fake.expires_in, fake.page_max = True, lasts, 20
    source = open_api(**fake.login)
    source.glance(T1)
    source.fetch(T1)
    tokens = [seen for seen in fake.seen if seen.path.startswith("/fip/")]
    assert [seen.query for seen in tokens] == [{"grant_type": ["client_credentials"]}]
    assert {seen.headers["authorization"][:7] for seen in fake.asked()} == {"Bearer "}


def test_a_token_that_ends_while_paging_is_renewed_once(fake: FinraFake, open_api: OpenApi) -> None:
    fake.require_token, fake.page_max = True, 20
    ended = []

    def end(answer: Any) -> Any:
        if not ended:
            ended.append(fake.end_tokens())
        return answer

    fake.fail(end, skip=0, times=1)
    assert offered(open_api(**fake.login).fetch(T1)).metadata["rows"] == 54
    assert len([seen for seen in fake.seen if seen.path.startswith("/fip/")]) == 2
    assert [seen.offset for seen in fake.asked()] == [0, 20, 20, 40]


def test_a_token_near_its_end_is_renewed_before_it_fails(fake: FinraFake, open_api: OpenApi) -> None:
    fake.require_token, fake.expires_in = True, 0
    source = open_api(**fake.login)
    source.glance(T1)
    source.glance(T1)
    assert len([seen for seen in fake.seen if seen.path.startswith("/fip/")]) == 2


def test_a_refused_credential_is_a_configuration_error_and_is_not_tried_again(fake: FinraFake, open_api: OpenApi) -> None:
    source = open_api(**{**fake.login, "MARKET_SPINE_FINRA_CLIENT_SECRET": "wr0ng"})
    for _ in range(3):
        with pytest.raises(ConfigurationError, match="Invalid Credentials") as caught:
            source.fetch(T1)
        assert "wr0ng" not in f"{caught.value} {caught.value.hint}"
    assert len(fake.seen) == 1


def test_a_service_that_wants_a_login_says_which_settings_give_it(fake: FinraFake, open_api: OpenApi) -> None:
    fake.require_token = True
    with pytest.raises(SourceError) as caught:
        open_api().fetch(T1)
    assert caught.value.category == "SOURCE_UNAUTHORIZED"
    assert "MARKET_SPINE_FINRA_CLIENT_ID" in str(caught.value)


def test_a_secret_may_lie_in_a_file_and_shows_nowhere(tmp_path: Path, fake: FinraFake, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "secret").write_text("s3cret\n", encoding="utf-8")
    environ = {"MARKET_SPINE_FINRA_CLIENT_ID": "id", "MARKET_SPINE_FINRA_CLIENT_SECRET_FILE": str(tmp_path / "secret")}
    settings = ApiSettings.of({**fake.environ, **environ})
    assert settings.secret == "s3cret"
    assert "s3cret" not in repr(settings)


def test_the_secret_and_token_are_in_no_log(fake: FinraFake, open_api: OpenApi, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    fake.require_token = True
    open_api(**fake.login).fetch(T1)
    token = fake.asked()[0].headers["authorization"].removeprefix("Bearer ")
    assert caplog.text
    assert not any(word in caplog.text for word in ("s3cret", token, "aWQ6czNjcmV0"))


BAD_SETTINGS = [
    ("half a credential", {"MARKET_SPINE_FINRA_CLIENT_ID": "id"}, "both its id and its secret"),
    ("a secret file that is not there", {"MARKET_SPINE_FINRA_CLIENT_SECRET_FILE": "/none"}, "cannot read"),
    ("an address of another kind", {"MARKET_SPINE_FINRA_BASE_URL": "ftp://api.finra.org"}, "not an http"),
    ("an address with a login", {"MARKET_SPINE_FINRA_BASE_URL": "https://me:secret@api.finra.org"}, "BASE_URL holds a login"),
    ("a timeout in words", {"MARKET_SPINE_HTTP_TIMEOUT": "soon"}, "not a number"),
    ("a negative count", {"MARKET_SPINE_HTTP_RETRIES": "-1"}, "not a number"),
]


@pytest.mark.parametrize(("environ", "says"), [b[1:] for b in BAD_SETTINGS], ids=[b[0] for b in BAD_SETTINGS])
def test_a_setting_that_makes_no_sense_is_refused(environ: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        ApiSettings.of(environ)
    assert caught.value.hint
