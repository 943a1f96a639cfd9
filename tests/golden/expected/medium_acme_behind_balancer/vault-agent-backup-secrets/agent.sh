#!/bin/sh
# Runs the agent that renders the secrets of one service. A login comes from receive.sh, into memory
# that is gone with this container; without one there is nothing to do but wait.
set -eu
umask 077
cd /run/agent
agent=

stop() {
  if [ -n "$agent" ]; then kill "$agent" 2>/dev/null || :; fi
  exit 0
}
trap stop TERM INT

while :; do
  waited=0
  until [ -s secret_id ]; do
    if [ $((waited % 30)) -eq 0 ]; then
      echo 'waiting for a login; devplat-install unseal gives one after a restart' >&2
    fi
    sleep 1 &
    wait $! || :
    waited=$((waited + 1))
  done
  rm -f rendered
  # beside the token, for a service that speaks to the server itself
  cp ca.pem /run/secrets/.ca.pem && chmod 0400 /run/secrets/.ca.pem && mv -f /run/secrets/.ca.pem /run/secrets/ca.pem
  vault agent -config=/etc/agent/agent.hcl &
  agent=$!
  echo "$agent" >pid
  wait "$agent" || echo "the agent ended with status $?" >&2
  agent=
  rm -f rendered pid
done
