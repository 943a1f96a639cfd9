#!/bin/sh
# Restores the data directories of one service from $BACKUP_RESTORE into $BACKUP_READY and compares them with what the
# manifest says of them. Prints what it compared; status 0 means that nothing differs.
set -eu
part=$1 from=${BACKUP_RESTORE:-/restore} ready=${BACKUP_READY:-/ready}
facts=$from/$part.json
find "$ready" -mindepth 1 -maxdepth 1 -exec rm -rf {} +
tar -x -p -f "$from/$part.tar" -C "$ready"
cd "$ready"
entries=$(find . | wc -l)
wanted=$(jq '.entries - (.gone | length)' "$facts")
if [ "$entries" -ne "$wanted" ]; then
  echo "part $part has $entries entries, its manifest says $wanted" >&2
  exit 1
fi
jq -r '.sample | to_entries[] | "\(.value)  \(.key)"' "$facts" >/tmp/sample
if [ -s /tmp/sample ] && ! sha256sum -c /tmp/sample >/tmp/compared 2>&1; then
  echo "part $part: $(grep -v ': OK$' /tmp/compared | head -n 3)" >&2
  exit 1
fi
jq -n --argjson entries "$entries" --argjson sample "$(wc -l </tmp/sample)" --argjson gone "$(jq '.gone | length' "$facts")" \
  '{entries: $entries, sample: $sample, gone: $gone}'
