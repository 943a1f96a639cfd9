#!/bin/sh
# Fetches a backup, or one part of it, into scratch/NAME. Each part is compared with the manifest before it gets its
# name, so that nothing damaged is ever used.
set -eu
. "$(dirname "$0")/common.sh"
name=$2 run=$3 part=${4:-} place=$scratch/$2
end() {
  jq -n --arg state "$1" --arg why "$2" '{state: $state, why: $why}' | replace "$place/fetch.json"
  [ "$1" = ready ] || say "$2"
  [ "$1" = ready ]
  exit $?
}
trap '[ "$(jq -r .state "$place/fetch.json")" != running ] || end failed "broken off: $(tail -n 1 "$state/why")"' EXIT

open_repository
known=$(snapshots) || end failed "the backups cannot be listed"
if [ "$run" = newest ]; then
  run=$(echo "$known" | jq -r 'map(select(.part == "complete").run) | max // empty')
fi
id=$(echo "$known" | jq -r --arg run "$run" '.[] | select(.run == $run and .part == "complete").id')
[ -n "$id" ] || end failed "there is no complete backup $run"
repository dump "$id" manifest.json >"$place/manifest.part" || end damaged "the manifest of $run cannot be read"
jq -e --arg run "$run" '.format == 1 and .run == $run and (.parts | length > 0)' "$place/manifest.part" >/dev/null ||
  end damaged "the manifest of $run is of another form or another run"
jq -r --arg part "$part" '.parts[] | select($part == "" or .name == $part) | [.name, .snapshot, .sha256] | @tsv' \
  "$place/manifest.part" >"$place/wanted"
[ -s "$place/wanted" ] || end failed "backup $run has no part $part"
while read -r wanted snapshot digest; do
  echo "$known" | jq -e --arg id "$snapshot" 'any(.[]; .id == $id)' >/dev/null ||
    end damaged "part $wanted of $run is not there"
  repository dump "$snapshot" "$wanted.tar" >"$place/$wanted.part" || end damaged "part $wanted of $run cannot be read"
  found=$(sha256sum "$place/$wanted.part" | cut -d ' ' -f 1)
  [ "$found" = "$digest" ] || end damaged "part $wanted of $run has checksum $found, its manifest says $digest"
  jq --arg part "$wanted" '.parts[] | select(.name == $part).facts' "$place/manifest.part" >"$place/$wanted.json"
  # rows as lines, for whoever compares without a reader of JSON
  jq -r '(.databases // {}) | to_entries[] | .key as $d | (.value.rows | add // {}) | to_entries[]
    | [$d, .key, .value] | @tsv' "$place/$wanted.json" | LC_ALL=C sort >"$place/$wanted.rows"
  chmod 644 "$place/$wanted".*
  mv -f "$place/$wanted.part" "$place/$wanted.tar"
done <"$place/wanted"
chmod 711 "$place"
mv -f "$place/manifest.part" "$place/manifest.json"
end ready ""
