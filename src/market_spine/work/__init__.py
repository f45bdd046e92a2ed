"""The work queue: what is to be done, kept in core_work_items, the ledger that decides on both engines.

PENDING ──claim──► RUNNING ──► COMPLETE
   ▲                 │ ├─ failed ───────────► RETRY_WAIT ──time──► PENDING     after max_attempts: FAILED
   │                 │ └─ waits for input ──► RETRY_WAIT ──made──► PENDING     (no attempt is counted; waiting.py)
   └── worker gone ──┘    CANCELLED: by a person, from any open state or FAILED

item.py       the values: an item, a request, and the decisions about them
desk.py       what people ask: enqueue, retry, cancel, look
lease.py      what workers do: claim, beat, settle; and taking back what a dead worker held
fence.py      one transaction around everything an item writes, committed only while the item is still ours
delivery.py   PostgreSQL: Procrastinate brings item ids to workers, and is rebuilt from the ledger when it loses any
execute.py    one claimed item, from its pipeline to its settlement
trouble.py    what a worker does while its database is away or a duty of its fails
roster.py     which workers live, for metrics
worker.py     a worker process: its threads, heartbeats, signals
"""
