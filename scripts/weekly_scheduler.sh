#!/bin/sh
# The weekly run as cron starts it: one at a time, its log kept, its exit code turned into a mail or a page.
#
#   weekly_scheduler.sh [options of run_finra_weekly_schedule]
#
#   exit code of the run      what happens
#   0   all well              one line, which cron may mail or not
#   1   some partitions       a mail to WEEKLY_MAIL_TO
#   2   critical              a page through WEEKLY_PAGE_COMMAND, and the mail
#   75  another run           a line in the log; nobody is told
#   130, 143 interrupted      a mail
#   any other                 as critical: the program is not there or was killed
#
# The script ends with the run's own exit code. Settings, by environment:
#   WEEKLY_COMMAND        the program (run_finra_weekly_schedule beside this script's venv, or on PATH)
#   WEEKLY_DIR            the working folder, where market_spine.toml lies (.)
#   WEEKLY_LOG_DIR        one log a run; latest.log is the newest (logs)
#   WEEKLY_KEEP_LOGS      how many are kept (26: half a year)
#   WEEKLY_LOCK           lock file (WEEKLY_LOG_DIR/weekly.lock), where there is flock; elsewhere (macOS) the run's own lock in the
#                         database is enough: it, too, ends with 75
#   WEEKLY_MAIL_TO        who gets the mails; empty: nobody
#   WEEKLY_MAIL_COMMAND   called with subject and address, the text on stdin (mail -s)
#   WEEKLY_PAGE_COMMAND   called through the shell with WEEKLY_SUBJECT set, the text on stdin; empty: no page
set -u

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cd "${WEEKLY_DIR:-.}" || exit 2
log_dir=${WEEKLY_LOG_DIR:-logs}
keep=${WEEKLY_KEEP_LOGS:-26}
lock=${WEEKLY_LOCK:-$log_dir/weekly.lock}

program() {
    if [ -n "${WEEKLY_COMMAND:-}" ]; then
        echo "$WEEKLY_COMMAND"
    elif [ -x "$here/../.venv/bin/run_finra_weekly_schedule" ]; then
        echo "$here/../.venv/bin/run_finra_weekly_schedule"
    else
        echo run_finra_weekly_schedule
    fi
}

mail_desk() {
    [ -n "${WEEKLY_MAIL_TO:-}" ] || return 0
    if [ -n "${WEEKLY_MAIL_COMMAND:-}" ]; then
        "$WEEKLY_MAIL_COMMAND" "$1" "$WEEKLY_MAIL_TO" <"$log"
    else
        mail -s "$1" "$WEEKLY_MAIL_TO" <"$log"
    fi || echo "weekly_scheduler: the mail could not be sent" >&2
}

page_desk() {
    [ -n "${WEEKLY_PAGE_COMMAND:-}" ] || return 0
    WEEKLY_SUBJECT=$1 sh -c "$WEEKLY_PAGE_COMMAND" <"$log" || echo "weekly_scheduler: the page could not be sent" >&2
}

# Names sort by time, so all but the last $keep are the old ones.
rotate() {
    set -- "$log_dir"/weekly-*.log
    while [ $# -gt "$keep" ]; do
        rm -f -- "$1"
        shift
    done
    ln -sfn "$(basename "$log")" "$log_dir/latest.log"
}

mkdir -p "$log_dir" || exit 2
exec 9>>"$lock" || exit 2
if command -v flock >/dev/null && ! flock -n 9; then
    echo "weekly_scheduler: another run holds $lock" >>"$log_dir/skipped.log"
    exit 75
fi

log=$log_dir/weekly-$(date -u +%Y%m%dT%H%M%SZ)-$$.log
command=$(program)
# The lock's descriptor is closed for the run: a child of it that lives on must not hold the lock.
"$command" --cron "$@" >"$log" 2>&1 9>&-
code=$?
rotate

subject="Market Spine on $(uname -n): exit code $code"
case $code in
    0) cat "$log" ;;
    75) cat "$log" >>"$log_dir/skipped.log" ;;
    1 | 130 | 143) mail_desk "$subject" ;;
    *)
        page_desk "$subject"
        mail_desk "$subject"
        ;;
esac
exit "$code"
