"""market_spine.toml: settings below flags and environment, above defaults; and the display of values without secrets.

db = "/var/lib/market-spine/market_spine.db"       # any option of run_finra_weekly_schedule, without its dashes;
lookback-weeks = 8                                 # it holds for every command that has an option of that name
notify = ["mailtos://user:password@example.com"]
finra-client-id = "…"                              # a setting that has no option: see SETTINGS

[serve]                                            # the options of one command only: `spine serve`
port = 8080
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from market_spine.errors import ConfigurationError
from market_spine.small_files import read_small_text, why

FILE_NAME = "market_spine.toml"
RUN_TABLE = "run_finra_weekly_schedule"
MASK = "***"

# Settings that are not an option of any command: environment name → whether it is a secret.
SETTINGS: Mapping[str, bool] = {
    "MARKET_SPINE_FINRA_CLIENT_ID": False,
    "MARKET_SPINE_FINRA_CLIENT_SECRET": True,
    "MARKET_SPINE_FINRA_CLIENT_SECRET_FILE": False,
    "MARKET_SPINE_FINRA_BASE_URL": False,
    "MARKET_SPINE_FINRA_TOKEN_URL": False,
    "MARKET_SPINE_FILE_URL": False,
    "MARKET_SPINE_FILE_URL_HOSTS": False,
    "MARKET_SPINE_SETTLE_SECONDS": False,
    "MARKET_SPINE_FIRM_TOTALS": False,
    "MARKET_SPINE_HTTP_TIMEOUT": False,
    "MARKET_SPINE_HTTP_RETRIES": False,
    "MARKET_SPINE_HTTP_BACKOFF": False,
    "MARKET_SPINE_ACTOR": False,
    "MARKET_SPINE_STATE_DIR": False,
    "MARKET_SPINE_WEBHOOK_SECRET": True,
}
_WHOLE_SECRETS = frozenset({"notify", "ping_url", "webhook"})


@dataclass(frozen=True, slots=True)
class Settings:
    """A settings file as read. Names are in snake case; `tables` are the commands' own."""

    path: str
    shared: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """`environ` with the file's settings below it."""
        given = {environment_name(name): _text(value) for name, value in self.shared.items()}
        return {name: value for name, value in given.items() if name in SETTINGS} | dict(environ)

    def defaults(self, command: str, options: Mapping[str, str]) -> dict[str, Any]:
        """The file's values for a command: parameter name → value; `options` maps option names to parameter names.

        Raises ConfigurationError for an entry of the command's own table that it has no option for.
        """
        own = self.tables.get(command, {})
        for name in own:
            if name not in options:
                raise self.unknown(f"[{command}] {name}", name, options)
        values = {name: value for name, value in self.shared.items() if name in options} | dict(own)
        return {options[name]: _plain(value) for name, value in values.items()}

    def check(self, options: Iterable[str], commands: Iterable[str]) -> None:
        """Raises ConfigurationError for a shared entry that is neither an option nor a setting, and for an unknown table."""
        valid = {*options, *(setting_name(name) for name in SETTINGS)}
        for name in self.shared:
            if name not in valid:
                raise self.unknown(name, name, valid)
        for table in self.tables:
            if table not in commands:
                raise self.unknown(f"[{table}]", table, commands)

    def unknown(self, shown: str, name: str, valid: Iterable[str]) -> ConfigurationError:
        """The error for an unknown entry; suggests the closest valid one."""
        import difflib

        close = difflib.get_close_matches(name, list(valid), n=1)
        hint = f"did you mean {close[0].replace('_', '-')}?" if close else "spine config show"
        return ConfigurationError(f"{self.path} has an unknown entry {shown.replace('_', '-')}", hint=hint)


def find(named: str | None) -> Path | None:
    """The settings file: the one named, else market_spine.toml in the working folder. Raises ConfigurationError."""
    if named:
        path = Path(named)
        if not os.path.isfile(named):  # noqa: PTH113 - False instead of an error for a name that is too long
            raise ConfigurationError(f"there is no settings file {named}", hint="check --config or MARKET_SPINE_CONFIG")
        return path
    path = Path(FILE_NAME)
    return path if path.is_file() else None


def read(path: Path) -> Settings:
    """Raises ConfigurationError when the file cannot be read or is not TOML."""
    import tomllib

    try:
        content = tomllib.loads(read_small_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"cannot read {path}: {why(error)}", hint="fix the file; it must be valid TOML") from error
    tables = {_snake(name): value for name, value in content.items() if isinstance(value, dict)}
    return Settings(
        str(path),
        {_snake(name): value for name, value in content.items() if not isinstance(value, dict)},
        {name: {_snake(key): value for key, value in table.items()} for name, table in tables.items()},
    )


def environment_name(setting: str) -> str:
    """`finra_client_id` → `MARKET_SPINE_FINRA_CLIENT_ID`."""
    return f"MARKET_SPINE_{setting.upper()}"


def setting_name(environment: str) -> str:
    """`MARKET_SPINE_FINRA_CLIENT_ID` → `finra_client_id`."""
    return environment.removeprefix("MARKET_SPINE_").lower()


def shown(name: str, value: object) -> str:
    """A value as it may be printed: database and URLs without passwords; where the address itself is the secret, masked."""
    if value is None or value == () or value == "":
        return ""
    if isinstance(value, (tuple, list)):
        return ", ".join(shown(name, one) for one in value)
    text = str(value)
    if SETTINGS.get(environment_name(name), False):
        return MASK
    return mask(text, whole=name in _WHOLE_SECRETS) if "://" in text else text


def mask(url: str, *, whole: bool = False) -> str:
    """`https://user:password@host/path` → `https://***@host/path`; `whole`: everything after the scheme."""
    try:
        parts = urlsplit(url)
    except ValueError:  # malformed: the secret may be anywhere in it
        return MASK
    if whole:
        return f"{parts.scheme}://{MASK}"
    from market_spine.target import is_postgres, redact

    if is_postgres(url):
        return redact(url)
    user, at, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=(MASK if user else "") + at + host, query=MASK if parts.query else "").geturl()


def address(url: str, setting: str, *, port: bool = True) -> SplitResult:
    """The parts of a URL. Raises ConfigurationError for one that has none: a bracket, a port or a name that cannot be."""
    try:
        parts = urlsplit(url)
        _ = port and parts.port
        (parts.hostname or "").encode("idna")
    except ValueError:
        raise ConfigurationError(f"{setting} is not an address: {mask(url, whole=True)}", hint=f"check {setting}") from None
    return parts


def _snake(name: str) -> str:
    return name.strip().lower().replace("-", "_")


def _plain(value: object) -> object:
    """A TOML value as an option takes it; lists stay lists, for options that may be given several times."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value.isoformat() if isinstance(value, date) else value


def _text(value: object) -> str:
    plain = _plain(value)
    return ",".join(map(str, plain)) if isinstance(plain, list) else str(plain)
