"""The value of `--db`: a SQLite file or a PostgreSQL URL. Any other URL is refused before a folder of its name is created."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from market_spine.errors import ConfigurationError

_SCHEME = re.compile(  # two letters at least: C:/ is a drive; jdbc:postgresql:// is one scheme, and file: needs no slash
    r"((?:[A-Za-z][\w+.-]+:)*[A-Za-z][\w+.-]+(?=:/)|(?i:sqlite3?|file|postgres(?:ql)?)(?=:)):"
)
_KEYWORDS = re.compile(r"\s*(host|hostaddr|port|dbname|user|password|service)\s*=")  # libpq's other way to name a database
_FILE_SCHEMES = frozenset({"sqlite", "sqlite3", "file"})


def is_postgres(target: str) -> bool:
    return target.startswith(("postgresql://", "postgres://"))


def resolve(target: str) -> str:
    """`target` as it is opened: a PostgreSQL URL as it is, a path with its `~` expanded.

    Raises ConfigurationError for any other URL, which as a path would create folders and an empty database in them.
    """
    if is_postgres(target):
        return target
    if not target.strip() or target.startswith("-") or _KEYWORDS.match(target):
        raise _not_a_name(target)
    if scheme := _SCHEME.match(target):
        raise ConfigurationError(f"{redact(target)} is neither a path nor a PostgreSQL URL", hint=_meant(scheme[1], target))
    if not target.startswith("~"):
        return target
    try:
        return str(Path(target).expanduser())
    except RuntimeError as error:
        raise ConfigurationError(f"{target} names no user's home", hint=f"--db ./{target}") from error


def _not_a_name(target: str) -> ConfigurationError:
    """What else would surprise as the name of a new file."""
    if target.startswith("-"):  # `--db $DB --quiet`, and DB is not set
        return ConfigurationError(f"--db has no value: {target} is an option", hint="--db data/market_spine.db")
    if not target.strip():
        return ConfigurationError("--db is empty", hint="--db data/market_spine.db")
    return ConfigurationError("--db takes no keywords and values", hint="--db postgresql://user@host/name")


def redact_words(words: Iterable[str]) -> list[str]:
    """The words of a command line without the passwords of their URLs, also of those behind `--option=`."""
    parts = (word.partition("=") if word.startswith("-") else ("", "", word) for word in words)
    return [f"{option}{equals}{redact(value)}" for option, equals, value in parts]


def redact(target: str) -> str:
    """A database's name without its password, fit for a log, even where the URL is malformed."""
    if not _SCHEME.match(target):
        return target
    bare = re.sub(r"^([\w+.:-]+:/+[^:@/?]*):.*@", r"\1@", target)
    return re.sub(r"(?i)([?&])(ssl)?password=[^&]*", r"\1", bare).replace("?&", "?").rstrip("?&")


def _meant(scheme: str, target: str) -> str:
    """The spelling that was probably meant."""
    rest = redact(target)[len(scheme) + 1 :]
    family = scheme.lower().partition("+")[0]
    if family in _FILE_SCHEMES:  # SQLAlchemy's: three slashes and a relative path, four and an absolute one
        path = rest.removeprefix("///") if family != "file" or not rest.startswith("/") else "/" + rest.lstrip("/")
        return f"--db {path or 'data/market_spine.db'}"
    from difflib import get_close_matches

    if get_close_matches(family, ("postgresql", "postgres"), cutoff=0.6):
        return f"--db postgresql://{rest.lstrip('/')}"
    return "--db data/market_spine.db, or --db postgresql://user@host/name"
