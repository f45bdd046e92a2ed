"""No value of any option, argument or setting of any command ends in a traceback, an endless line or a file nobody asked for."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import click
import pytest
from support import odd_values
from support.commands import RunCommand
from support.odd_values import ODD, Case, Command

from market_spine.cli.options import Number, Whole
from market_spine.config import SETTINGS

# Each place gets one value in so many, the next place the next ones: all 35,670 pairs with ODD_SHARE=1.
SHARE = int(os.environ.get("ODD_SHARE", "29"))
COMMANDS = list(odd_values.commands())
PLACES = [(command, param) for command in COMMANDS for param in odd_values.places(command)]
OFFLINE = {"MARKET_SPINE_FINRA_BASE_URL": "http://127.0.0.1:1", "MARKET_SPINE_FINRA_TOKEN_URL": "http://127.0.0.1:1/t",
           "MARKET_SPINE_FILE_URL": "http://127.0.0.1:1/{tier}_{week}", "MARKET_SPINE_FILE_URL_HOSTS": "127.0.0.1",
           "MARKET_SPINE_HTTP_RETRIES": "0", "MARKET_SPINE_HTTP_TIMEOUT": "1"}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of ours, no server that stays, no name looked up."""
    for name in [name for name in os.environ if name.startswith("MARKET_SPINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MARKET_SPINE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr("uvicorn.Server.run", lambda _server: None)
    monkeypatch.setattr("socket.getaddrinfo", _numeric_only)


def _numeric_only(host: object, port: object, *more: object, **named: object) -> object:
    import socket

    if str(host) not in ("127.0.0.1", "localhost"):
        raise socket.gaierror(socket.EAI_NONAME, "no names are looked up here")
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


@pytest.mark.parametrize("command", COMMANDS, ids=[command.name or "run_finra_weekly_schedule" for command in COMMANDS])
def test_an_odd_value_is_taken_or_refused_in_one_line(command: Command, tmp_path: Path, _sqlite_template: str) -> None:
    root, wrong = tmp_path / "root", []
    for at, (owner, param) in enumerate(PLACES):
        for kind in itertools.islice(ODD, at % SHARE, None, SHARE) if owner == command else ():
            odd_values.renew(root, _sqlite_template)
            value = ODD[kind].replace(odd_values.HERE, str(root))
            arguments = Case(command, param, kind).arguments(value)
            ended = odd_values.carry_out(lambda arguments=arguments: command.run(arguments), root)  # type: ignore[misc]
            wrong += [(param.name, kind, fault, ended.stderr[-300:]) for fault in odd_values.faults(ended, value, root)]
    assert wrong == []


@pytest.mark.parametrize("name", SETTINGS)
def test_an_odd_setting_is_taken_or_refused_in_one_line(
    name: str, tmp_path: Path, _sqlite_template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (weekly_run, *_), root, wrong = COMMANDS, tmp_path / "root", []
    at = list(SETTINGS).index(name)
    for kind, source in itertools.product(itertools.islice(ODD, at % SHARE, None, SHARE), ("api", "url")):
        if "\0" in ODD[kind] or any("\ud800" <= c < "\udc80" for c in ODD[kind]):
            continue  # no environment can hold it
        given = ODD[kind].replace(odd_values.HERE, str(root))
        for setting, value in {**OFFLINE, name: given}.items():
            monkeypatch.setenv(setting, value)
        odd_values.renew(root, _sqlite_template)
        arguments = [*odd_values.WEEKLY, "--source", source, "--db", "spine.db"]
        ended = odd_values.carry_out(lambda arguments=arguments: weekly_run.run(arguments), root)  # type: ignore[misc]
        wrong += [(kind, source, fault, ended.stderr[-300:]) for fault in odd_values.faults(ended, given, root)]
    assert wrong == []


@pytest.mark.parametrize(
    "text", ["nan", "-nan", "inf", "-inf", "Infinity", "1e309", "1e308", "1_0", "١", "0x1", "", " 1", "9" * 5000]
)
@pytest.mark.parametrize("kind", [Number(0), Number(0, 100), Whole(0), Whole(1, 64)], ids=repr)
def test_only_plain_finite_figures_are_numbers(kind: Number | Whole, text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"is not a (whole )?number from [01] to [0-9,]+$"):
        kind.convert(text, None, None)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [(Number(0), "0.5", 0.5), (Number(0), "1e3", 1000.0), (Number(0), ".5", 0.5), (Number(0, 100), "100", 100.0), (Whole(0), "7", 7),
     (Whole(-5, 5), "-5", -5), (Whole(1, 2**63 - 1), str(2**63 - 1), 2**63 - 1)],
)
def test_a_number_is_taken_exactly(kind: Number | Whole, text: str, value: float) -> None:
    assert kind.convert(text, None, None) == value


def test_every_option_that_is_a_number_has_one_of_the_two_types() -> None:
    others = [
        (command.name, param.name, param.type)
        for command, param in PLACES
        if isinstance(param.type, (click.types.IntParamType, click.types.FloatParamType))
        and not isinstance(param.type, (Number, Whole))
    ]
    assert others == []


REAL = [
    ("run_finra_weekly_schedule", "--lock-wait", "nan", "Invalid value for '--lock-wait': 'nan' is not a number from 0 to 1,000,000,000"),
    ("run_finra_weekly_schedule", "--run-date", "0000-00-00", "Invalid date format: '0000-00-00'"),
    ("run_finra_weekly_schedule", "--run-date", "9999-12-31", "9999-12-31 is out of range"),
    ("spine query normalized", "--symbol", "\udcff", "'\\udcff' has control characters or is not UTF-8"),
    ("spine status", "--db", "a\x1b[2Jb", "'a\\x1b[2Jb' has control characters or is not UTF-8"),
    ("spine status", "--calendar-file", "/dev/zero", "cannot read the calendar /dev/zero: it is larger than 1 MB"),
]


@pytest.mark.parametrize(("words", "option", "value", "says"), REAL, ids=[f"{r[1]} {r[2]!r}" for r in REAL])
def test_a_real_process_says_it_the_same_way(
    run_command: RunCommand, tmp_path: Path, words: str, option: str, value: str, says: str
) -> None:
    done = run_command(*words.split(), option, value)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Error: {says}")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
