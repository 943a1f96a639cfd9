#!/bin/sh
# The data directories of one service as a tar stream on standard output; what is in it goes to $1/facts.json.
# What refers to other files (a repository's refs) is read before what it refers to (its objects), so that a copy of a
# repository in use has every object that its refs name.
set -eu
work=$(cd "$1" && pwd)
sample=40
cd "${BACKUP_DATA:-/data}"
newline='
'
find . -name "*$newline*" >"$work/odd"
if [ -s "$work/odd" ]; then
  echo "a name with a line break cannot be backed up:" >&2
  head -n 2 "$work/odd" >&2
  exit 3
fi
# directories of the list are not descended into again
find . ! -type s ! -type p ${BACKUP_SKIP:+! -path "$BACKUP_SKIP" ! -path "$BACKUP_SKIP/*"} | sort >"$work/all"
grep -v '/objects/' "$work/all" >"$work/list" || :
grep '/objects/' "$work/all" >>"$work/list" || :

hash_sample() {
  while IFS= read -r name; do
    if [ -f "$name" ] && [ ! -L "$name" ]; then sha256sum "$name" 2>/dev/null || :; fi
  done <"$work/chosen"
}

total=$(wc -l <"$work/all")
awk -v every="$((total / sample + 1))" 'NR % every == 0' "$work/all" >"$work/chosen"
hash_sample >"$work/before"
status=0
# by its path: some shells would take a smaller tar of their own
"$(which tar)" -c -f - --no-recursion -T "$work/list" 2>"$work/complaints" || status=$?
cat "$work/complaints" >&2
# files that were removed meanwhile are listed, anything else is a failure
vanished='No such file or directory|File removed before'
grep -E "$vanished" "$work/complaints" >"$work/gone" || :
if [ "$status" -ne 0 ] && { [ ! -s "$work/complaints" ] ||
  grep -v -E "$vanished|error exit delayed|Exiting with failure|file changed as we read it" "$work/complaints" >/dev/null; }; then
  exit "$status"
fi
hash_sample >"$work/after"
# only what did not change while it was read can be compared later
awk 'NR == FNR { seen[$0] = 1; next } $0 in seen' "$work/before" "$work/after" |
  jq -R -s --argjson entries "$total" --rawfile gone "$work/gone" '
    {entries: $entries, gone: ($gone | split("\n") | map(select(. != ""))),
     sample: (split("\n") | map(select(. != "") | {key: .[66:], value: .[:64]}) | from_entries)}' >"$work/facts.json"
