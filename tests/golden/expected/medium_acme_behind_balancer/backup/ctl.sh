#!/bin/sh
# What the installer asks of the backup. Answers are JSON on standard output; reasons are on standard error.
#   request ID         ask the waiting job for a backup
#   status             what runs and how the last one ended
#   list               the manifests of all complete backups, the newest first
#   fetch NAME RUN [PART]   begin to fetch a backup into scratch/NAME and check it against its manifest
#   fetched NAME       how far that is: {"state": "running" | "ready" | "damaged" | "failed", "why": ...}
#   drilled            remember that a drill succeeded
# Status 3: there is no such backup.
set -eu
. "$(dirname "$0")/common.sh"
mkdir -p "$state/manifests"

case $1 in
  request) echo "$2" | replace "$state/request" ;;
  status)
    jq -n --argjson running "$(cat "$state/running" 2>/dev/null || echo null)" \
      --argjson last "$(cat "$state/last" 2>/dev/null || echo null)" '{running: $running, last: $last}'
    ;;
  list)
    open_repository
    known=$(snapshots) || fail "the backups cannot be listed"
    echo "$known" | jq -r '.[] | select(.part == "complete") | [.run, .id] | @tsv' | sort -r >"$state/listed.$$"
    while read -r run id; do
      [ -f "$state/manifests/$run.json" ] || repository dump "$id" manifest.json | replace "$state/manifests/$run.json"
      cat "$state/manifests/$run.json"
    done <"$state/listed.$$" | jq -c -s .
    rm -f "$state/listed.$$"
    ;;
  fetch)
    rm -rf "${scratch:?}/$2"
    mkdir -p "$scratch/$2"
    echo '{"state": "running"}' >"$scratch/$2/fetch.json"
    sh "$here/fetch.sh" "$@" >"$scratch/$2/fetch.log" 2>&1 &
    ;;
  fetched) cat "$scratch/$2/fetch.json" ;;
  drilled)
    date +%s | replace "$state/drilled"
    sh "$here/metrics.sh"
    ;;
  *) echo "unknown: $1" >&2; exit 2 ;;
esac
