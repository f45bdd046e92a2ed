"""The anomaly categories, each with its severity, its stage, what happened, and what an operator does.

docs/anomalies.md is generated from this list. In the database, in JSON and in messages a category is its name.
"""

from __future__ import annotations

from enum import StrEnum, unique


class Severity(StrEnum):
    """The severities of anomalies, in ascending order."""

    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


INFO, WARN, ERROR, CRITICAL = Severity
RAW, NORMALIZED, CROSS_TIER, FOLDER, SWEEP, ANY = "RAW", "NORMALIZED", "CROSS_TIER", "FOLDER", "SWEEP", "any"
DAILY_LIST = "DAILY_LIST"
TOTALS = "TOTALS"  # of the firm totals beside a partition: nothing waits for it
OPERATOR = "OPERATOR"  # of what a person has noticed: no stage that succeeds closes it


@unique
class Category(StrEnum):
    """Why an anomaly was recorded. The stage is `any` if it depends on the phase that failed."""

    severity: Severity
    stage: str
    happened: str
    to_do: str

    def __new__(cls, name: str, severity: Severity, stage: str, happened: str, to_do: str) -> Category:
        member = str.__new__(cls, name)
        member._value_ = name
        member.severity, member.stage, member.happened, member.to_do = severity, stage, happened, to_do
        return member

    UNCHANGED = "UNCHANGED", INFO, RAW, "the source has the content that is already stored", "nothing"
    AWAITING_PUBLICATION = "AWAITING_PUBLICATION", INFO, RAW, "the partition is not due yet", "nothing"
    LATE_DATA = (
        "LATE_DATA", WARN, RAW, "due today or yesterday, and the source does not have it yet", "wait a day; see FINRA's notices"
    )
    SOURCE_UNAVAILABLE = (
        "SOURCE_UNAVAILABLE", ERROR, RAW, "due, and the source does not have it or does not respond after the retries",
        "run again later; `spine status` names the command",
    )
    WITHDRAWN_CONTENT = (
        "WITHDRAWN_CONTENT", ERROR, ANY,
        "the source still shows content that an operator withdrew, and the partition has no other; or it is offered again",
        "wait for FINRA's better file; if the withdrawal was wrong, `spine rollback WEEK TIER --undo`, or `--force`",
    )
    SOURCE_REFUSED = (
        "SOURCE_REFUSED", ERROR, RAW, "the source refuses the request, or a host is not on the list",
        "read the message; check addresses and credential",
    )
    SOURCE_UNAUTHORIZED = (
        "SOURCE_UNAUTHORIZED", ERROR, RAW, "FINRA does not accept the credential",
        "renew the secret, or run without one",
    )
    SOURCE_INCOMPLETE = (
        "SOURCE_INCOMPLETE", ERROR, RAW, "fewer or more rows than FINRA counted, twice in a row; nothing was stored",
        "run again later",
    )
    SOURCE_FOREIGN_ROWS = (
        "SOURCE_FOREIGN_ROWS", ERROR, RAW, "the response has rows of another week or tier, twice in a row",
        "run again later; report it to FINRA",
    )
    SOURCE_NOT_DATA = "SOURCE_NOT_DATA", ERROR, RAW, "the response is a web page or an error, not data", "open the address"
    SOURCE_TOO_LARGE = (
        "SOURCE_TOO_LARGE", ERROR, RAW, "more than `--max-file-mb`, or more rows than FINRA returns",
        "raise the limit if the size is right",
    )
    SOURCE_UNREADABLE = (
        "SOURCE_UNREADABLE", ERROR, RAW, "the file cannot be read: permissions, disk, a truncated gzip file",
        "fetch it again",
    )
    SOURCE_CHANGING = (
        "SOURCE_CHANGING", ERROR, RAW,
        "the file was being written: it changed while it was read, or within the five seconds that a new file is given to settle",
        "run again when it is complete",
    )
    SOURCE_OUTSIDE = (
        "SOURCE_OUTSIDE", ERROR, RAW, "a link points out of the data folder", "copy the file into it, or `--allow-links`"
    )
    AMBIGUOUS_SOURCE = "AMBIGUOUS_SOURCE", ERROR, RAW, "two files for one partition", "keep the correct one"
    DAY_TAKEN = (
        "DAY_TAKEN", ERROR, RAW,
        "`--as-observed-on` names a day that has a capture of other content, or between two that saw the same other content",
        "compare both: `spine captures`, `spine raw`",
    )
    OBSERVED_TOO_EARLY = (
        "OBSERVED_TOO_EARLY", ERROR, RAW, "`--as-observed-on` names a day before the newest `lastUpdateDate` in the file",
        "name the day on which the file was fetched",
    )
    EMPTY_FILE = "EMPTY_FILE", ERROR, RAW, "the file has no bytes", "fetch it again"
    UNKNOWN_FILE = (
        "UNKNOWN_FILE", WARN, FOLDER, "files in the data folder have names that match no partition",
        "`spine import FILE` for a weekly file; move others out of the folder",
    )
    SWEEP_FAILED = (
        "SWEEP_FAILED", WARN, SWEEP, "FINRA could not be queried for revisions of earlier weeks",
        "nothing; the next run queries from the same day on",
    )
    DAILY_LIST_MISSING = (
        "DAILY_LIST_MISSING", WARN, DAILY_LIST, "FINRA's daily list of symbol changes could not be captured",
        "nothing; the next run asks for the same days again, as long as FINRA shows them",
    )
    NO_HEADER = "NO_HEADER", ERROR, NORMALIZED, "the first line is not a FINRA header", "fetch it again"
    NO_ROWS = "NO_ROWS", ERROR, NORMALIZED, "no good row: a header alone, or every line rejected", "fetch it again"
    LINE_TOO_LONG = "LINE_TOO_LONG", ERROR, NORMALIZED, "a line of more than 1 MB", "fetch it again"
    THOUSANDS_SEPARATOR = (
        "THOUSANDS_SEPARATOR", ERROR, NORMALIZED, "a figure like `1,234`: a spreadsheet program has saved the file",
        "fetch it again and do not re-save it",
    )
    TRUNCATED_CONTENT = (
        "TRUNCATED_CONTENT", ERROR, NORMALIZED,
        "the last line has no line end and may be cut: fields are missing, a quote is open, or it ends within a figure or name",
        "fetch it again; if it is complete, end its last line with a newline",
    )
    SAME_CONTENT = (
        "SAME_CONTENT", ERROR, NORMALIZED, "another week is current with exactly this content",
        "provide this week's own file, or roll the other week back if that one is wrong",
    )
    TOO_EARLY = (
        "TOO_EARLY", ERROR, NORMALIZED,
        "the newest `lastUpdateDate` is before the day on which FINRA publishes this week: rows of an earlier week",
        "give it the name of its own week",
    )
    WRONG_PARTITION = (
        "WRONG_PARTITION", ERROR, NORMALIZED,
        "rows name another tier or week than the file's name (an unknown tier or week rejects that line)",
        "give it its own name; nothing is relabelled",
    )
    SUM_TOO_LARGE = (
        "SUM_TOO_LARGE", ERROR, NORMALIZED,
        "more than 33 trillion shares or trades in a tier, sixty times the busiest week so far",
        "fetch it again",
    )
    TOO_MANY_REJECTS = (
        "TOO_MANY_REJECTS", ERROR, NORMALIZED, "more than `--max-reject-percent` of the lines were rejected",
        "look at `spine rejects WEEK TIER`, and fetch it again",
    )
    SHRUNK_CAPTURE = (
        "SHRUNK_CAPTURE", ERROR, NORMALIZED, "under `--min-kept-percent` of the current capture's rows or shares",
        "fetch it again; if FINRA means it, `--accept-shrink`",
    )
    IMPLAUSIBLE_CONTENT = (
        "IMPLAUSIBLE_CONTENT", ERROR, NORMALIZED,
        "the figures lie far outside the history of the tier, or are those of another week or tier; the message has them",
        "`spine gates explain WEEK TIER`; fetch it again, and if FINRA means it, `spine release WEEK TIER`",
    )
    UNUSUAL_CONTENT = (
        "UNUSUAL_CONTENT", WARN, NORMALIZED, "figures outside what is usual for the tier; the capture is current",
        "look at `spine gates explain WEEK TIER`; if it is the new level, `spine gates accept WEEK TIER`",
    )
    HELD_BY_OPERATOR = (
        "HELD_BY_OPERATOR", ERROR, NORMALIZED, "an operator holds the content with `spine hold`",
        "`spine release WEEK TIER`, or wait for other content",
    )
    REJECTED_ROWS = "REJECTED_ROWS", WARN, NORMALIZED, "some lines were rejected", "look at `spine rejects WEEK TIER`"
    FIRM_TOTALS_MISSING = (
        "FIRM_TOTALS_MISSING", WARN, TOTALS, "the source gave a partition's rows and not its firm totals",
        "nothing: measures rest on the symbol rows; `spine backfill --force` for that week asks again",
    )
    FIRM_TOTALS_UNUSABLE = (
        "FIRM_TOTALS_UNUSABLE", WARN, TOTALS,
        "firm totals that come twice, are another week's or tier's, or are not figures; none of them is used",
        "nothing: measures rest on the symbol rows; look at `spine raw WEEK TIER --totals`",
    )
    FIRM_TOTALS_DIFFER = (
        "FIRM_TOTALS_DIFFER", WARN, TOTALS, "symbol rows do not add up to the firm totals; the message has the figures",
        "nothing: measures rest on the symbol rows; report it to FINRA if it lasts",
    )
    MISSING_DEPENDENCY = (
        "MISSING_DEPENDENCY", ERROR, NORMALIZED, "`--only-stage normalize` of a partition that is due and was never ingested",
        "run without `--only-stage`",
    )
    INCOMPLETE_INPUT = (
        "INCOMPLETE_INPUT", WARN, CROSS_TIER, "a tier is missing, so the week's own measures were not computed",
        "nothing while it is awaited",
    )
    RAW_DAMAGED = (
        "RAW_DAMAGED", ERROR, ANY, "the stored bytes of a capture are missing, or no longer match their hash",
        "run `spine doctor --deep`: it names the command that fetches them again",
    )
    RAISED = (
        "RAISED", CRITICAL, OPERATOR,
        "a person raised it with `spine raise`, and chose the severity; a CRITICAL one keeps its week from being ready",
        "look at its reason; `spine resolve ID --note …` closes it, and nothing else does",
    )
    DATABASE_LOST = (
        "DATABASE_LOST", ERROR, ANY, "the connection was lost during a stage, which was rolled back",
        "nothing; the next run completes it",
    )
    UNEXPECTED = "UNEXPECTED", ERROR, ANY, "an error in the program; the traceback is in `details_json`", "report it"


HELD = frozenset(
    {
        Category.IMPLAUSIBLE_CONTENT, Category.HELD_BY_OPERATOR, Category.TRUNCATED_CONTENT, Category.SAME_CONTENT,
        Category.TOO_EARLY, Category.TOO_MANY_REJECTS, Category.SHRUNK_CAPTURE,
    }
)
"""The categories of what a gate holds: its rows are stored, or its bytes wait, until it is released or other content passes."""
