"""The errors, as a tree. Expected results (unchanged, awaiting, late) are values, never errors.

MarketSpineError                 message, hint (what to do next), exit_code
├── UsageError               2   the request is invalid
│   ├── InvalidWeek              a date that is malformed or not a Friday; also a ValueError
│   ├── UnknownTier              also a ValueError
│   ├── ConfigurationError       a setting, path or missing extra
│   ├── PastDay                  a run date before the newest day the store has recorded
│   ├── FutureDay                a run date after today
│   ├── NotFound                 nothing with that name is stored
│   ├── NotReady                 figures of a week that is not ready were asked for
│   ├── Superseded               it was current when it was first asked for
│   └── Pruned                   it was stored, and only its tombstone remains
├── DatabaseError            2   the database cannot be used
│   ├── DatabaseLocked           another process holds a write transaction for too long
│   ├── DatabaseLost             the connection went away
│   ├── NotADatabase             the file is something else
│   ├── DamagedDatabase          its content can no longer be read
│   ├── SchemaTooNew             written by a newer program
│   ├── SchemaTooOld             must be migrated first
│   └── SchemaDiffers            a migration was edited after it created this database
├── RunLocked               75   another run holds the lock
│   └── LockLost                 another run took it over while this one was stopped or disconnected
├── WorkerStuck              2   an item that does not stop; only the end of its process ends it
├── PrerequisiteMissing      1   a pipeline's input does not exist yet; the hint is the command that creates it
└── PartitionError           1   one partition failed; the others go on. Has a category
    ├── SourceError              the source could not provide the partition
    │   └── Unproved             the content cannot be proved complete; fetched once more, then given up
    ├── UnusableContent          the content from the source cannot become current
    └── DamagedRaw               the stored content is missing or no longer matches its hash

Interrupted            130/143   SIGINT or SIGTERM; a KeyboardInterrupt, so that no `except Exception` catches it
└── TimeUp                       a queued item that ran longer than a worker may work on it

BrokenPipeError            141   the reader of the output is gone; any other exception: 2
"""

from __future__ import annotations

from market_spine.categories import Category

RECOVERY = "spine help recovery"


class MarketSpineError(Exception):
    """An error with a one-line message for the user. `hint` is what to do next."""

    exit_code = 2

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(f"Try: {hint}")  # for whoever sees a traceback: a notebook


class UsageError(MarketSpineError):
    """The request is invalid."""


class InvalidWeek(UsageError, ValueError):
    """A date that is malformed or not a Friday."""


class UnknownTier(UsageError, ValueError):
    """A tier FINRA does not have."""


class ConfigurationError(UsageError):
    """A setting, a path or a missing extra."""


class PastDay(UsageError):
    """The run date is before the newest day the store has recorded: the run would change as-of results returned since."""


class FutureDay(UsageError):
    """The run date is after today: its captures would hide every later revision until that day."""


class NotFound(UsageError):
    """Nothing with that name is stored."""


class NotReady(UsageError):
    """Figures of a week that is not ready were asked for, and not expressly."""


class Superseded(UsageError):
    """A page begins in a capture that another one has replaced since."""


class Pruned(UsageError):
    """It was stored; an operator pruned it, and only its tombstone remains."""


class DatabaseError(MarketSpineError):
    """The database cannot be used."""


class DatabaseLocked(DatabaseError):
    """Another process has held a write transaction for longer than the wait."""


class DatabaseLost(DatabaseError):
    """The connection to the database went away."""


class NotADatabase(DatabaseError):
    """The file is not a SQLite database."""


class DamagedDatabase(DatabaseError):
    """The content of the database can no longer be read."""


class SchemaTooNew(DatabaseError):
    """The database was written by a newer version of the program."""


class SchemaTooOld(DatabaseError):
    """The database must be migrated before this version can use it."""


class SchemaDiffers(DatabaseError):
    """A migration file of this program is not the one that created the database."""


class RunLocked(MarketSpineError):
    """Another run holds the lock."""

    exit_code = 75


class LockLost(RunLocked):
    """Another run took the lock over; this one may write no more."""


class Interrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM; the open partition was rolled back."""

    hint = None

    def __init__(self, signal_number: int) -> None:
        self.message = "interrupted; the open partition was rolled back, the next run completes it"
        super().__init__(self.message)
        self.exit_code = 128 + signal_number


class WorkerStuck(MarketSpineError):
    """An item was given up, and the thread that executes it does not stop."""


class TimeUp(Interrupted):
    """A queued item has run for longer than its worker may work on one."""

    def __init__(self, minutes: float) -> None:
        super().__init__(signal_number=0)
        self.message = f"it took more than {minutes:g} minutes"


class PrerequisiteMissing(MarketSpineError):
    """A pipeline's input does not exist yet. Not a failure of the data: `hint` is the command that creates it, `stage` the
    stage it will have recorded in the manifest then."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None, stage: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.stage = stage


class PartitionError(MarketSpineError):
    """One partition failed; the others go on. `category` is that of its anomaly.

    The message says what an operator must do, but names no command: the right one depends on the state of the partition at
    that time, which `spine status` and `spine doctor` evaluate.
    """

    exit_code = 1

    def __init__(self, category: Category, message: str, *, hint: str | None = None, capture_id: str | None = None) -> None:
        super().__init__(f"{message}; {hint}" if hint else message)
        self.category = category
        self.capture_id = capture_id
        self.ingest_no: int | None = None


# The categories of kept content that does not belong to the day named: repeated, it is refused again.
NOT_OF_THE_DAY = frozenset({Category.DAY_TAKEN, Category.OBSERVED_TOO_EARLY})

# The categories of failures not caused by the content: what was stored can be processed again as it is.
NOT_OF_THE_CONTENT = frozenset({Category.UNEXPECTED, Category.DATABASE_LOST}) | NOT_OF_THE_DAY


class SourceError(PartitionError):
    """The source could not provide the partition."""


class Unproved(SourceError):
    """The content cannot be proved complete. It is fetched once more; a partial response is never stored."""


class UnusableContent(PartitionError):
    """The content from the source cannot become current; the current capture stays."""


class DamagedRaw(PartitionError):
    """The content stored for a capture is missing or no longer matches its hash."""

    def __init__(self, message: str) -> None:
        super().__init__(Category.RAW_DAMAGED, message, hint="spine doctor --deep")
