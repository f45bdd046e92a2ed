"""PostgreSQL: Procrastinate delivers the ids of due items to whichever worker is free. On SQLite every function is a no-op.

The engine's tables hold nothing that the ledger does not: they are created when first needed, can be emptied or lost without
harm (`announce_lost` restores everything), and are recreated for another version of the engine (`rebuild`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from market_spine.db import Database
from market_spine.db.postgres import Postgres
from market_spine.errors import ConfigurationError, DatabaseError, DatabaseLost, SchemaTooOld
from market_spine.work.item import Item

if TYPE_CHECKING:
    from procrastinate.manager import JobManager

QUEUE = "market_spine"
TASK = "market_spine.work_item"


def prepare(db: Database) -> None:
    """Creates the engine's tables where they are missing. Raises SchemaTooOld when they belong to another version."""
    if not isinstance(db, Postgres):
        return
    installed = _installed(db)
    if installed is None:
        with db.transaction():
            db.execute("SELECT pg_advisory_xact_lock(hashtext('market_spine.delivery'))")
            if _installed(db) is None:
                _install(db)
    elif installed != _fingerprint():
        raise SchemaTooOld(
            f"the delivery tables in {db.label} were created by another version of procrastinate",
            hint="stop the workers, then: spine work rebuild-delivery",
        )


def rebuild(db: Database) -> int:
    """Drops and recreates the engine's tables and announces every open item; returns their number."""
    if not isinstance(db, Postgres):
        return 0
    with db.transaction():
        db.execute("SELECT pg_advisory_xact_lock(hashtext('market_spine.delivery'))")
        db.run_script(_DROP)
        _install(db)
        return announce_lost(db)


def announce(db: Database, items: Iterable[Item]) -> None:
    """Schedules one delivery of each item, when it is due. Call it in the transaction that changed the items' rows."""
    items = list(items)
    if not isinstance(db, Postgres) or not items:
        return
    from procrastinate.exceptions import ConnectorException
    from procrastinate.jobs import Job

    withdraw(db, items)
    jobs = [
        Job(
            queue=QUEUE, task_name=TASK, lock=None, queueing_lock=_queueing_lock(item.id), priority=item.priority,
            scheduled_at=datetime.fromisoformat(item.next_attempt_at or item.desired_at), task_kwargs={"item_id": item.id},
        )
        for item in items
    ]
    try:
        _manager().batch_defer_jobs(jobs, connection=db.driver)
    except ConnectorException as error:
        raise _translated(db, error) from error


def withdraw(db: Database, items: Iterable[Item]) -> None:
    """Cancels deliveries that no worker has begun."""
    if not isinstance(db, Postgres):
        return
    for item in items:
        db.execute(
            """
            SELECT procrastinate_cancel_job_v1(id, false, true) FROM procrastinate_jobs
            WHERE queueing_lock = ? AND status = 'todo'
            """,
            (_queueing_lock(item.id),),
        )


def announce_lost(db: Database) -> int:
    """Announces open items without a delivery again: tables were emptied, or a worker died between two steps.

    Call it in a transaction. One caller at a time does it (advisory lock), and rows that another transaction is changing are
    left for the next call (SKIP LOCKED).
    """
    if not isinstance(db, Postgres):
        return 0
    (locked,) = db.execute("SELECT pg_try_advisory_xact_lock(hashtext('market_spine.app.sweep'))").fetchone()
    if not locked:
        return 0
    db.execute("DELETE FROM procrastinate_jobs WHERE status = 'doing' AND worker_id IS NULL")
    rows = db.execute(
        """
        SELECT w.* FROM core_work_items w
        WHERE w.state IN ('PENDING', 'RETRY_WAIT') AND NOT EXISTS (
            SELECT 1 FROM procrastinate_jobs j LEFT JOIN procrastinate_workers k ON k.id = j.worker_id
            WHERE j.task_name = ? AND j.queueing_lock = 'work-item:' || w.id
              AND (j.status = 'todo' OR (j.status = 'doing' AND k.last_heartbeat > clock_timestamp() - interval '60 seconds')))
        ORDER BY w.id LIMIT 1000 FOR UPDATE OF w SKIP LOCKED
        """,
        (TASK,),
    ).fetchall()
    announce(db, [Item.of(row) for row in rows])
    return len(rows)


def _queueing_lock(item_id: int) -> str:
    """Procrastinate allows one waiting job per queueing lock: an item is never announced twice."""
    return f"work-item:{item_id}"


def _installed(db: Database) -> str | None:
    """The fingerprint of the engine's tables; None where there are none."""
    # A query of the catalogue: to_regclass caches a missing name until the transaction ends.
    table = db.execute(
        "SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'procrastinate_installed'"
    ).fetchone()
    if table is None:
        return None
    (fingerprint,) = db.execute("SELECT fingerprint FROM procrastinate_installed").fetchone() or (None,)
    return fingerprint


def _install(db: Database) -> None:
    db.run_script(_schema())
    db.run_script("CREATE TABLE procrastinate_installed (fingerprint text NOT NULL)")
    db.execute("INSERT INTO procrastinate_installed (fingerprint) VALUES (?)", (_fingerprint(),))


def _schema() -> str:
    try:
        from procrastinate.schema import SchemaManager
    except ImportError as error:
        raise ConfigurationError(
            "the work queue on PostgreSQL needs procrastinate, which is not installed",
            hint="pip install 'market-spine[postgres]'",
        ) from error
    return str(SchemaManager.get_schema())


@lru_cache(maxsize=1)
def _fingerprint() -> str:
    return hashlib.sha256(_schema().encode()).hexdigest()[:16]


@lru_cache(maxsize=1)
def _manager() -> JobManager:
    """Defers jobs on a connection passed to it; it has none of its own."""
    from procrastinate import SyncPsycopgConnector
    from procrastinate.manager import JobManager

    return JobManager(SyncPsycopgConnector())


def _translated(db: Postgres, error: Exception) -> Exception:
    cause: Any = error.__cause__ or error
    message = " ".join(str(cause).split())
    if db.driver.closed:
        return DatabaseLost(f"the connection to {db.label} was lost: {message}", hint="run again; the next run completes it")
    return DatabaseError(f"cannot announce work in {db.label}: {message}", hint="spine work rebuild-delivery")


_DROP = """
DO $$
DECLARE it record;
BEGIN
    FOR it IN SELECT c.oid::regclass AS name FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace
        AND c.relkind = 'r' AND c.relname LIKE 'procrastinate\\_%' LOOP EXECUTE format('DROP TABLE %s CASCADE', it.name);
    END LOOP;
    FOR it IN SELECT p.oid::regprocedure AS name FROM pg_proc p WHERE p.pronamespace = current_schema()::regnamespace
        AND p.proname LIKE 'procrastinate\\_%' LOOP EXECUTE format('DROP FUNCTION %s CASCADE', it.name);
    END LOOP;
    FOR it IN SELECT t.oid::regtype AS name FROM pg_type t WHERE t.typnamespace = current_schema()::regnamespace
        AND t.typname LIKE 'procrastinate\\_%' AND t.typtype IN ('e', 'c') LOOP EXECUTE format('DROP TYPE %s CASCADE', it.name);
    END LOOP;
END;
$$
"""
