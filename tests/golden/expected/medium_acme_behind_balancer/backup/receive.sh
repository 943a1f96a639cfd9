#!/bin/sh
# Writes one part to standard output and succeeds only if it is what its maker says it sent. Run by restic, which makes
# no snapshot of it otherwise.
set -eu
. "$(dirname "$0")/common.sh"
name=$1 spool=$parts/$1 work=$state/work
[ ! -d "$state/parts/$1" ] || spool=$state/parts/$1
if [ -z "$(find "$spool/alive" -mmin -2 2>/dev/null)" ]; then
  say "part $name: nothing answers in its spool"
  exit 1
fi
rm -f "$work/$name".*
mkfifo "$work/$name.sum"
sha256sum <"$work/$name.sum" >"$work/$name.digest" &
tee "$work/$name.sum" <"$spool/stream"
wait $!
waited=0
until [ -f "$spool/result" ]; do
  [ "$waited" -lt "${BACKUP_RESULT_WAIT:-60}" ] || { say "part $name: broken off"; exit 1; }
  sleep 1
  waited=$((waited + 1))
done
cp "$spool/result" "$work/$name.json"
digest=$(cut -d ' ' -f 1 "$work/$name.digest")
if ! jq -e --arg digest "$digest" '.status == 0 and .sha256 == $digest' "$work/$name.json" >/dev/null; then
  say "part $name: $(jq -r --arg digest "$digest" '.facts.why // ({status, sha256} | tojson + " sent, \($digest) received")' "$work/$name.json")"
  exit 1
fi
