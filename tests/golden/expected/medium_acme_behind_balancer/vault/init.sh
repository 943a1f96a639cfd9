#!/bin/sh
# Initialises the secret server and keeps its answer, which exists only once, before it ends.
#
#   init.sh SHARES THRESHOLD <transport key, an OpenPGP public key in base64
#
# Each share and the root token are encrypted by the server itself to the transport key. Status 0: the
# answer is kept, by this run or by an earlier one. 3: the place that keeps it is not writable or has no
# room; nothing was sent. 4: initialised, and no answer is here. 5: an answer is here, and the server it
# belongs to is not. 6: the answer was made and could not be kept; it is on standard output.
set -eu
umask 077
shares=$1 threshold=$2
folder=/openbao/ceremony
answer=$folder/answer.json
coming=$folder/answer.coming
key=/tmp/transport-key.$$
lock=/tmp/init.lock

say() {
  status=$1
  shift
  echo "$*" >&2
  exit "$status"
}

is_complete() {
  grep -q '"root_token": *"[^"]' "$1" && grep -q '^} *$' "$1"
}

keep() {
  mv -f "$coming" "$answer"
  sync "$answer" "$folder" 2>/dev/null || sync
}

cat >"$key"
trap 'rm -f "$key"' EXIT
[ -s "$key" ] || say 1 'no transport key on standard input'

# One at a time: whoever comes second finds the answer of the first.
until ln -s $$ "$lock" 2>/dev/null; do
  kill -0 "$(readlink "$lock")" 2>/dev/null || rm -f "$lock"
  sleep 1
done
trap 'rm -f "$key" "$lock"' EXIT

state=$(vault status -format=json 2>/tmp/status.err) || [ $? -eq 2 ] || say 1 "the server does not answer: $(cat /tmp/status.err)"
case $state in
  *'"initialized": true'*) initialised=yes ;;
  *'"initialized": false'*) initialised=no ;;
  *) say 1 'the server does not say whether it is initialised' ;;
esac

# Left by a run that ended between the two.
if [ ! -s "$answer" ] && [ -s "$coming" ] && [ $initialised = yes ] && is_complete "$coming"; then keep; fi
if [ -s "$answer" ]; then
  [ $initialised = yes ] || say 5 "$answer belongs to a server that is gone; move it away if its keys are of no use"
  exit 0
fi
[ $initialised = no ] || say 4 "the server is already initialised, and $answer is not there"

# The server answers 400 when it cannot write its audit log, and is initialised all the same.
probe=/openbao/logs/.probe
dd if=/dev/zero of="$probe" bs=1024 count=64 conv=fsync 2>/tmp/reserve.err || {
  rm -f "$probe"
  say 3 "/openbao/logs is not writable, or has no room for 64 KiB: $(tail -n 1 /tmp/reserve.err)"
}
rm -f "$probe"

# Room for the answer is taken before it exists: a file of blanks, which a reader of JSON skips.
blocks=$((32 + shares * 8))
reserve() {
  rm -f "$coming" && dd if=/dev/zero bs=2048 count=$blocks | tr '\0' ' ' | dd of="$coming" conv=fsync &&
    [ "$(stat -c %s "$coming")" -eq $((blocks * 2048)) ]
}
reserve 2>/tmp/reserve.err || {
  rm -f "$coming" 2>/dev/null || :
  say 3 "$folder is not writable, or has no room for $((blocks * 2)) KiB: $(grep -m 1 : /tmp/reserve.err)"
}

keys=$key
count=1
while [ $count -lt "$shares" ]; do
  keys=$keys,$key
  count=$((count + 1))
done
made=$(
  VAULT_CLIENT_TIMEOUT=600 vault operator init -format=json \
    -key-shares="$shares" -key-threshold="$threshold" -pgp-keys="$keys" \
    -root-token-pgp-key="$key" 2>/tmp/init.err
) || {
  rm -f "$coming" 2>/dev/null || :
  say 1 "the server was not initialised: $(cat /tmp/init.err)"
}

if ! printf '%s\n' "$made" | dd of="$coming" conv=notrunc,fsync 2>/dev/null || ! is_complete "$coming"; then
  printf '%s\n' "$made"
  say 6 "$coming could not be written; the answer, encrypted, is on standard output"
fi
keep
