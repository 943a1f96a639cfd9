#!/bin/sh
# check.sh FILE FOLDER: whether FILE is a whole snapshot, that is a gzip tar of meta data, state, and checksums that they
# meet (the form of hashicorp/raft-snapshot, which both flavors of the server write). Unpacks it into FOLDER.
set -eu
file=$1 folder=$2
broken() {
  echo "the snapshot is of no use: $*" >&2
  exit 1
}
rm -rf "$folder"
mkdir -p "$folder"
# to its end, where the checksum of the whole is; tar by itself would stop before that
gzip -d -c <"$file" >"$folder/plain.tar" 2>"$folder/complaint" || broken "$(tail -n 1 "$folder/complaint")"
tar -x -f "$folder/plain.tar" -C "$folder" meta.json state.bin SHA256SUMS 2>"$folder/complaint" ||
  broken "$(tail -n 1 "$folder/complaint")"
rm -f "$folder/plain.tar"
cd "$folder"
for name in meta.json state.bin; do
  [ -f "$name" ] || broken "it has no $name"
  grep -q "^[0-9a-f]\{64\}  $name\$" SHA256SUMS || broken "it has no checksum of $name"
done
grep -E '  (meta\.json|state\.bin)$' SHA256SUMS >wanted
sha256sum -c wanted >complaint 2>&1 || broken "$(grep -v ': OK$' complaint | head -n 1)"
size=$(sed -n 's/.*"Size": *\([0-9][0-9]*\).*/\1/p' meta.json)
[ "$size" = "$(stat -c %s state.bin)" ] || broken "its state has $(stat -c %s state.bin) bytes, its meta data says ${size:-nothing}"
