"""What `--db` names: a SQLite file or a PostgreSQL URL."""

from __future__ import annotations

import re


def is_postgres(target: str) -> bool:
    return target.startswith(("postgresql://", "postgres://"))


def redact(target: str) -> str:
    """A database's name without its password, fit for a log, even where the URL is malformed."""
    if not is_postgres(target):
        return target
    bare = re.sub(r"^(\w+://[^:@/?]*):.*@", r"\1@", target)
    return re.sub(r"(?i)([?&])(ssl)?password=[^&]*", r"\1", bare).replace("?&", "?").rstrip("?&")
