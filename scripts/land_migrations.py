#!/usr/bin/env python3
"""Write down what each migration is as it lands: `python scripts/land_migrations.py`.

Adds the files that src/market_spine/db/schema/digests.txt does not name yet. A migration that has landed is never edited, because
databases were made with it: an entry that no longer fits its file is refused, exit 1. Change the schema in a new file.
"""

from __future__ import annotations

import sys

import clone  # noqa: F401

from market_spine.db.migrations import SCHEMA, digests, landed


def main() -> int:
    known, present = landed(), digests()
    edited = [name for name, digest in known.items() if present.get(name) != digest]
    for name in edited:
        print(f"Error: {name} has landed and was edited since. Try: git checkout -- {SCHEMA / name}", file=sys.stderr)
    if edited:
        return 1
    (SCHEMA / "digests.txt").write_text("".join(f"{digest}  {name}\n" for name, digest in present.items()), "utf-8")
    print(f"{len(present)} migrations, {len(present.keys() - known.keys())} of them new")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
