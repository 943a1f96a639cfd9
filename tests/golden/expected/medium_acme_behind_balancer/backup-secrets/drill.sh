#!/bin/sh
# Unpacks a snapshot of the secret server from $BACKUP_RESTORE into $BACKUP_READY and compares it with its own checksums
# and with what the manifest says of it. Whether the shares of its time open it only their custodians can show.
set -eu
part=$1 from=${BACKUP_RESTORE:-/restore} ready=${BACKUP_READY:-/ready}
here=$(cd "$(dirname "$0")" && pwd)
facts=$from/$part.json
differs() {
  echo "part $part: $*" >&2
  exit 1
}
fact() { sed -n "s/^ *\"$1\": *\"\{0,1\}\([0-9a-f]*\).*/\1/p" "$facts"; }
digest() { sha256sum "$1" | cut -d ' ' -f 1; }
compare() { [ "$2" = "$(fact "$1")" ] || differs "$1 is $2, its manifest says $(fact "$1")"; }
find "$ready" -mindepth 1 -maxdepth 1 -exec rm -rf {} +
tar -x -f "$from/$part.tar" -C "$ready" secrets.snap || differs "it has no secrets.snap"
compare sha256 "$(digest "$ready/secrets.snap")"
sh "$here/check.sh" "$ready/secrets.snap" "$ready/.unpacked" || differs "it cannot be restored"
number() { sed -n "s/.*\"$1\": *\([0-9][0-9]*\).*/\1/p" "$ready/.unpacked/meta.json"; }
compare state "$(digest "$ready/.unpacked/state.bin")"
compare index "$(number Index)"
compare term "$(number Term)"
rm -rf "$ready/.unpacked"
printf '{"bytes of snapshot": %d, "entries of its log": %d}\n' "$(stat -c %s "$ready/secrets.snap")" "$(fact index)"
