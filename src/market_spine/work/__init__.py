"""The work queue: work items in core_work_items, the ledger that decides on both engines.

PENDING ──claim──► RUNNING ──► COMPLETE
   ▲                 │ ├─ failed ───────────► RETRY_WAIT ──time──► PENDING     after max_attempts: FAILED
   │                 │ └─ waits for input ──► RETRY_WAIT ──made──► PENDING     (no attempt is counted)
   └── worker gone ──┘    CANCELLED: by a person, from any open state or FAILED

item.py       the values: an item, a request, and the decisions about them
queue.py      what people do: enqueue, retry, cancel, list
lease.py      what workers do: claim, heartbeat, settle, and reclaim the items of dead workers
fence.py      one transaction around everything an item writes, committed only while this worker holds the item
execute.py    runs one claimed item and settles it
feed.py       where items come from: the threads that claim and execute them
trouble.py    what a worker does while its database is unavailable or one of its duties fails
running.py    the items a worker is executing, and their longest time
retention.py  how long ended items and their executions are kept
roster.py     which workers are alive, for metrics
worker.py     a worker process: its threads, heartbeats, signals
"""
