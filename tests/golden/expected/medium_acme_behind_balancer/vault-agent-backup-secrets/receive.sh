#!/bin/sh
# Takes a login on standard input: role id, wrapped secret id, PEM of the authority, each after a line
# with its length in bytes. The agent that runs is ended, and starts anew with this login.
set -eu
umask 077
cd /run/agent

fail() {
  echo "$*" >&2
  exit 1
}

take() {
  read -r length || fail "$1 is missing"
  case $length in
    '' | *[!0-9]* | ??????*) fail "the length of $1 is no number of bytes" ;;
  esac
  dd of="$1.new" bs=1 count="$length" 2>/dev/null
  [ "$(stat -c %s "$1.new")" -eq "$length" ] || fail "$1 ended early"
}

take role_id
take secret_id
take ca.pem
# Ended first: it would take the new login for its own and have it used up. What is left of an older
# login would start it again.
rm -f secret_id
if [ -s pid ]; then
  kill "$(cat pid)" 2>/dev/null || :
  waited=0
  while [ -s pid ]; do
    [ $waited -lt 20 ] || fail 'the agent that runs does not end'
    sleep 1
    waited=$((waited + 1))
  done
fi
mv -f role_id.new role_id
mv -f ca.pem.new ca.pem
mv -f secret_id.new secret_id
