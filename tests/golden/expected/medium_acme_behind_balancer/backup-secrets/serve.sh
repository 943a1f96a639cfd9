#!/bin/sh
# Serves one part of a backup. Whoever opens the pipe `stream` in the spool gets the part as a tar stream; `result`
# then says whether it was whole: its status, its SHA-256, and what is in it. Nothing comes in this way.
set -u
umask 027
cd "${BACKUP_SPOOL:-/spool}" || exit 1
part=$1
rm -rf stream new result result.part alive work
while :; do : >alive; sleep 20; done &
while :; do
  # a new pipe each time: who still reads the old one never sees the next stream
  rm -rf new work && mkdir work && mkfifo new work/sum && mv -f new stream || exit 1
  exec 3>stream # waits until it is opened
  rm -f stream result
  started=$(date +%s)
  sha256sum <work/sum >work/digest &
  summing=$!
  { sh "$part" work; echo $? >work/status; } | tee work/sum >&3
  sent=$?
  exec 3>&-
  wait "$summing"
  status=$(cat work/status 2>/dev/null || echo 1)
  [ "$sent" -eq 0 ] || status=$sent
  digest=$(cut -d ' ' -f 1 work/digest)
  facts=$(cat work/facts.json 2>/dev/null)
  [ -n "$facts" ] || facts='{}'
  printf '{"status":%d,"sha256":"%s","started":%d,"ended":%d,"facts":%s}\n' \
    "$status" "$digest" "$started" "$(date +%s)" "$facts" >result.part
  mv -f result.part result
  rm -rf work
  echo "backup part: status $status, sha256 $digest" >&2
done
