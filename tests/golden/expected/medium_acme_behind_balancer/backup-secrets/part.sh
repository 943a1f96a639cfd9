#!/bin/sh
# A snapshot of the secret server's storage, encrypted by that server's own key, in a tar stream on standard output; what
# it is, or why there is none, goes to $1/facts.json. Nothing is sent before it has been found to be whole.
set -eu
work=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
token=${BACKUP_TOKEN:-/run/secrets/token}
refuse() {
  echo "$*" >&2
  printf '{"why":"%s"}\n' "$(printf %s "$*" | tr -d '"\\' | tr -s '\n\t' '  ' | cut -c 1-300)" >"$work/facts.json"
  exit 1
}
[ -s "$token" ] || refuse "there is no login to the secret server at $token; devplat-install unseal gives one"
BAO_TOKEN=$(cat "$token")
export BAO_TOKEN
snapshot=$work/part/secrets.snap
mkdir "$work/part"
if ! bao operator raft snapshot save "$snapshot" >"$work/said" 2>&1; then
  status=0
  bao status >/dev/null 2>&1 || status=$?
  [ "$status" -ne 2 ] || refuse "the secret server is sealed; open it with devplat-install unseal"
  if grep -q '^Code: 403' "$work/said"; then
    refuse "the login to the secret server may take no snapshot; devplat-install apply sets its policy"
  fi
  refuse "no snapshot was taken: $(tail -n 4 "$work/said")"
fi
sh "$here/check.sh" "$snapshot" "$work/unpacked" 2>"$work/said" || refuse "$(tail -n 1 "$work/said")"
number() { sed -n "s/.*\"$1\": *\([0-9][0-9]*\).*/\1/p" "$work/unpacked/meta.json"; }
digest() { sha256sum "$1" | cut -d ' ' -f 1; }
printf '{"sha256":"%s","state":"%s","bytes":%d,"index":%d,"term":%d}\n' "$(digest "$snapshot")" \
  "$(digest "$work/unpacked/state.bin")" "$(stat -c %s "$snapshot")" "$(number Index)" "$(number Term)" >"$work/facts.part"
rm -rf "$work/unpacked"
tar -C "$work/part" -c -f - secrets.snap
mv "$work/facts.part" "$work/facts.json"
