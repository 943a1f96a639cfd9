#!/bin/sh
# Makes one backup: every part in order, each read back, then the manifest that makes it count; only after that are old
# ones removed. Status 0 means complete and verified. 75: another one runs.
set -eu
. "$(dirname "$0")/common.sh"
mkdir -p "$state/work" "$state/manifests"
exec 9>"$state/lock"
flock -n 9 || { say "another backup runs"; exit 75; }
started=$(date +%s)
run=$(date -u +%Y%m%dT%H%M%SZ)-$(head -c 4 /dev/urandom | od -An -tx1 | tr -d ' \n')
echo "the job was broken off" >"$state/why"
jq -n --arg run "$run" --argjson at "$started" '{run: $run, started: $at}' | replace "$state/running"
result=1
finish() {
  jq -n --arg run "$run" --argjson started "$started" --argjson ended "$(date +%s)" --argjson ok "$result" \
    --arg why "$(cat "$state/why")" --arg request "${BACKUP_REQUEST:-}" \
    '{run: $run, started: $started, ended: $ended, complete: ($ok == 0), why: $why, request: $request}' |
    replace "$state/last" || :
  rm -f "$state/running"
  sh "$here/metrics.sh" || :
}
trap finish EXIT
trap 'exit 143' TERM INT HUP
rm -rf "$state/work" && mkdir "$state/work"
say "run $run begins"

# A lock of this very container whose program is gone: restic takes a number that was given to another program, or one
# that nobody has waited for, as alive. Locks of other hosts are judged by their age, as restic does.
is_left_over() {
  lock=$(repository --no-lock cat lock "$1") || return 1
  [ "$(echo "$lock" | jq -r .hostname)" = "$(hostname)" ] || return 1
  ! tr '\0' ' ' <"/proc/$(echo "$lock" | jq -r .pid)/cmdline" 2>/dev/null | grep -q restic
}
remove_locks() {
  for lock_id in $(repository --no-lock list locks); do
    is_left_over "$lock_id" || { repository unlock >/dev/null; return; }
  done
  repository unlock --remove-all >/dev/null
}

open_repository make
remove_locks || say "locks that earlier runs left could not be removed"
known=$(snapshots) || fail "the backups cannot be listed"
halves=$(echo "$known" | jq -r '(map(select(.part == "complete").run)) as $done
  | .[] | select(.run as $r | $done | index($r) | not) | .id')
if [ -n "$halves" ]; then
  say "removes what incomplete runs left: $(echo "$halves" | wc -l) parts"
  # shellcheck disable=SC2086
  repository forget $halves >/dev/null || fail "what incomplete runs left cannot be removed"
fi

: >"$state/work/parts"
while read -r name; do
  begun=$(date +%s)
  status=0
  timeout "${BACKUP_LIMIT:-43200}" restic --json --retry-lock "${BACKUP_LOCK_WAIT:-40m}" backup --host "$host" \
    --tag "run:$run" --tag "part:$name" --stdin-filename "$name.tar" \
    --stdin-from-command -- sh "$here/receive.sh" "$name" >"$state/work/out" 2>"$state/work/err" 9>&- || status=$?
  cat "$state/work/err" >&2
  [ "$status" -eq 0 ] ||
    fail "part $name: $(jq -er '.facts.why // empty' "$state/work/$name.json" 2>/dev/null || echo "it could not be stored (status $status)")"
  jq -c --arg name "$name" --argjson begun "$begun" --slurpfile sent "$state/work/$name.json" '
    select(.message_type == "summary") | {name: $name, snapshot: .snapshot_id, size: .total_bytes_processed,
      added: .data_added_packed, sha256: $sent[0].sha256, started: $begun, ended: $sent[0].ended, facts: $sent[0].facts}' \
    "$state/work/out" >>"$state/work/parts"
  say "part $name is stored"
done <"$etc/parts"

# Read back from where they are kept: all of it up to a size, beyond that a sample of the repository.
jq -r --argjson limit "${BACKUP_READ_BACK:-4294967296}" 'select(.size <= $limit or .name == "database")
  | [.name, .snapshot, .sha256] | @tsv' "$state/work/parts" >"$state/work/read-back"
while read -r name snapshot digest; do
  status=0
  { repository dump "$snapshot" "$name.tar" || echo "$?" >"$state/work/dump-status"; } | sha256sum >"$state/work/digest"
  [ ! -f "$state/work/dump-status" ] || fail "part $name: it cannot be read back"
  [ "$(cut -d ' ' -f 1 "$state/work/digest")" = "$digest" ] || fail "part $name: it is not what was stored"
done <"$state/work/read-back"
repository check --read-data-subset="${BACKUP_CHECK:-2}%" >/dev/null || fail "the repository does not pass its check"

key=$(repository key list --json | jq -r '.[] | select(.current) | .id') || fail "the key of the repository is unknown"
jq -s --arg run "$run" --argjson started "$started" --argjson ended "$(date +%s)" --arg key "$key" \
  --slurpfile facts "$etc/facts.json" --slurpfile bundle "${BACKUP_BUNDLE:-$etc/manifest.json}" '
  {format: 1, run: $run, release: $bundle[0].release, deployment: $facts[0].deployment,
   versions: $facts[0].versions, timezone: $facts[0].timezone, started: $started, ended: $ended, key: $key,
   size: (map(.size) | add), parts: .}' "$state/work/parts" >"$state/work/manifest.json"
repository backup --host "$host" --tag "run:$run" --tag part:complete --stdin --stdin-filename manifest.json \
  <"$state/work/manifest.json" >/dev/null || fail "the manifest could not be stored"
known=$(snapshots) || fail "the backups cannot be listed"
snapshot=$(echo "$known" | jq -r --arg run "$run" '.[] | select(.run == $run and .part == "complete").id')
repository dump "$snapshot" manifest.json | cmp -s - "$state/work/manifest.json" ||
  fail "the manifest cannot be read back"
echo "$key" | replace "$state/key"
replace "$state/manifests/$run.json" <"$state/work/manifest.json"
replace "$state/newest" <"$state/work/manifest.json"
result=0
echo >"$state/why"
say "run $run is complete: $(jq -c '{size, parts: (.parts | map({(.name): .size}) | add)}' "$state/newest")"

# The backup counts from here on; trouble with old ones is told and does not undo it.
remove_old() {
  old=$(echo "$known" | jq 'map(select(.part == "complete"))' |
    jq -r --slurpfile keeps "$etc/keep.json" --arg current "$run" '$keeps[0] as $keep
      | '"$(cat "$here/retention.jq")"' | .[]') || return 1
  [ -n "$old" ] || return 0
  # the manifest goes first: what remains of a run that is half removed does not count
  say "removes $(echo "$old" | wc -l) old runs: $(echo "$old" | tr '\n' ' ')"
  for kind in complete part; do
    ids=$(echo "$known" | jq -r --arg kind "$kind" --arg old "$old" '($old | split("\n")) as $runs
      | .[] | select((.part == "complete") == ($kind == "complete")) | select(.run as $r | $runs | index($r)) | .id')
    # shellcheck disable=SC2086
    [ -z "$ids" ] || repository forget $ids >/dev/null || return 1
  done
  repository prune >/dev/null || return 1
  echo "$old" | while read -r gone; do rm -f "$state/manifests/$gone.json"; done
}
# One that was asked for removes nothing: it may be the one before a restore of what it would take the place of.
[ -z "${BACKUP_REQUEST:-}" ] || exit 0
if remove_old; then rm -f "$state/kept"; else say "old backups could not be removed"; : >"$state/kept"; fi
