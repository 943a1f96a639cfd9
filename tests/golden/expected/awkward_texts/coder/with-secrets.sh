#!/bin/sh
# Starts a program that reads secrets from its environment only, once they are there. A file
# /run/secrets/NAME becomes the variable NAME of this process; `docker inspect` shows neither the name
# nor the value.
set -eu
waited=0
for file in CODER_OIDC_CLIENT_SECRET CODER_PG_CONNECTION_URL database_roots.pem edge_roots.pem; do
  until [ -f "/run/secrets/$file" ]; do
    if [ $((waited % 30)) -eq 0 ]; then
      echo "waiting for /run/secrets/$file, which comes when the secret server is open" >&2
    fi
    sleep 1
    waited=$((waited + 1))
  done
done
for file in /run/secrets/[A-Z]*; do
  [ -f "$file" ] || continue
  value=$(cat "$file")
  export "${file##*/}=$value"
done
unset file value waited
exec "$@"
