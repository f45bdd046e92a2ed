#!/bin/sh
# Enqueue weeks through the HTTP API with curl: scripts/weekly_finra.sh [WEEK_ENDING] [API_BASE]
#
# Without a week: the two of which FINRA has published a tier since the Friday before (NMS Tier 1 of 21 days before the last
# Friday, the others of 35). What is not published yet waits in the queue until it is.
# Each stage is due STAGGER_MINUTES (10) after the one before. Safe to run twice. SPINE_TOKEN_FILE names a file with a bearer
# token, where the API asks for one. Exit codes: 0 enqueued or there already, 1 refused or not reached, 2 usage.
set -eu

case "${1:-}" in
    http://* | https://*) set -- "" "$@" ;;
esac
weeks="${1:-}"
api="${2:-${API_BASE:-http://127.0.0.1:8000}}"
stagger="${STAGGER_MINUTES:-10}"

now=$(date -u +%s)

# The day of a moment in New York. GNU date first, then BSD's.
day_of() {
    TZ=America/New_York date -d "@$1" "$2" 2>/dev/null || TZ=America/New_York date -r "$1" "$2"
}

case "$weeks" in
    "")
        noon=$((now - $(day_of "$now" +%H | sed 's/^0//') * 3600 + 43200))
        friday=$((noon - ($(day_of "$now" +%u) + 2) % 7 * 86400))
        weeks="$(day_of $((friday - 21 * 86400)) +%Y-%m-%d) $(day_of $((friday - 35 * 86400)) +%Y-%m-%d)"
        ;;
    [0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]) ;;
    *) echo "usage: $0 [WEEK_ENDING] [API_BASE]    (a Friday, YYYY-MM-DD)" >&2; exit 2 ;;
esac

# The moment a stage is due. GNU date first, then BSD's.
due() {
    at=$((now + $1 * stagger * 60))
    date -u -d "@$at" +%Y-%m-%dT%H:%M:%S+00:00 2>/dev/null || date -u -r "$at" +%Y-%m-%dT%H:%M:%S+00:00
}

items=""
add() { # pipeline, stage, tier or nothing
    key="{\"week_ending\": \"$week\"${3:+, \"tier\": \"$3\"}}"
    item="{\"pipeline\": \"$1\", \"partition_key\": $key, \"desired_at\": \"$(due "$2")\", \"priority\": $((3 - $2))}"
    items="${items:+$items, }$item"
}

for week in $weeks; do
    for tier in NMS_TIER_1 NMS_TIER_2 OTC; do
        add ingest_week 0 "$tier"
        add normalize_week 1 "$tier"
        for pipeline in compute_venue_volume compute_venue_share compute_hhi; do
            add "$pipeline" 2 "$tier"
        done
    done
    add compute_tier_split 3 ""
    add compute_weekly_totals 3 ""
done

# The token goes by a file and not by the command line, where other users could read it.
headers=$(mktemp)
trap 'rm -f "$headers"' EXIT INT TERM
chmod 600 "$headers"
echo "Content-Type: application/json" > "$headers"
if [ -n "${SPINE_TOKEN_FILE:-}" ]; then
    printf 'Authorization: Bearer %s\n' "$(cat "$SPINE_TOKEN_FILE")" >> "$headers"
fi

answer=$(printf '[%s]' "$items" | curl --silent --show-error --max-time 60 --retry 3 --retry-connrefused \
    --write-out '\n%{http_code}' --header "@$headers" --data-binary @- "$api/api/v1/work/enqueue") || {
    echo "Error: cannot reach $api. Try: spine serve" >&2
    exit 1
}
status=$(printf '%s\n' "$answer" | tail -n 1)
printf '%s\n' "$answer" | sed '$d'
case "$status" in
    200 | 201) ;;
    *) echo "Error: HTTP $status" >&2; exit 1 ;;
esac
