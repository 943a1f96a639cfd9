#!/bin/sh
# Waits for the schedule, or for somebody who asks, and runs one backup at a time. A slot that was missed, because the
# host was off or the backup failed, is made up: it stays due until a complete backup has been made for it.
set -eu
. "$(dirname "$0")/common.sh"
mkdir -p "$state/work"
slots() {
  TZ=${BACKUP_TZ:-UTC} jq -n --slurpfile all "$etc/slots.json" --argjson from "$1" --argjson to "$2" \
    '$all[0] as $slots | '"$(cat "$here/schedule.jq")"
}
now() { date +%s; }
rm -f "$state/running"
# The configuration is a part like the others, and needs no user of its own: everybody may read it.
mkdir -p "$state/parts/bundle"
BACKUP_SPOOL="$state/parts/bundle" BACKUP_DATA=${BACKUP_RELEASES:-/releases} sh "$here/serve.sh" "$here/part.sh" &
sh "$here/metrics.sh" || say "the metrics cannot be written"
checked=$(now)
slot=$(slots $((checked - ${BACKUP_LOOK_BACK:-31622400})) "$checked")
again=0
done_for=$(cat "$state/slot" 2>/dev/null || echo 0)
if [ ! -f "$state/newest" ]; then
  # of a host before this one
  if timeout 60 sh "$here/ctl.sh" list >"$state/tmp/list" 2>/dev/null && jq -e '.[0]' "$state/tmp/list" >"$state/tmp/first"; then
    replace "$state/newest" <"$state/tmp/first"
  fi
fi
if [ "$done_for" = 0 ] && [ -f "$state/newest" ] && [ "$slot" != null ] &&
  [ "$(jq .ended "$state/newest")" -ge "$slot" ]; then
  done_for=$slot
fi
while :; do
  : >"${BACKUP_HEARTBEAT:-/tmp/heartbeat}"
  at=$(now)
  if [ "$((at / 60))" -ne "$((checked / 60))" ]; then
    # a clock that went back looks a day back, not ahead
    [ "$at" -gt "$checked" ] || checked=$((at - 86400))
    found=$(slots "$checked" "$at")
    [ "$found" = null ] || slot=$found
    checked=$at
  fi
  request=
  if [ -f "$state/request" ]; then
    request=$(cat "$state/request")
    rm -f "$state/request"
  fi
  if [ -n "$request" ] || { [ "$slot" != "$done_for" ] && [ "$slot" != null ] && [ "$at" -ge "$again" ]; }; then
    again=$((at + ${BACKUP_AGAIN:-1800}))
    status=0
    # the health check asks for a sign of life, also while a backup takes hours
    (while :; do : >"${BACKUP_HEARTBEAT:-/tmp/heartbeat}"; sleep 20; done) &
    beating=$!
    BACKUP_REQUEST=$request sh "$here/run.sh" || status=$?
    kill "$beating" 2>/dev/null || :
    if [ "$status" -eq 0 ]; then
      done_for=$slot
      echo "$slot" | replace "$state/slot"
    fi
  fi
  sleep "${BACKUP_TICK:-5}"
done
