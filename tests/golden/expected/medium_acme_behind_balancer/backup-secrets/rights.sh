#!/bin/sh
# Whether the login of this service takes a snapshot, and is refused what is none of its business.
set -eu
BAO_TOKEN=$(cat "${BACKUP_TOKEN:-/run/secrets/token}")
export BAO_TOKEN
bao operator raft snapshot save /dev/null >/dev/null 2>&1 || { echo 'it takes no snapshot' >&2; exit 1; }
# all of them are there, so that nothing but a refusal stands in the way
for path in sys/mounts sys/policies/acl/default secret/config; do
  if bao read "$path" >/dev/null 2>&1; then echo "it may read $path" >&2; exit 1; fi
done
echo snapshot-only
