#!/bin/sh
# Starts a program that reads secrets from its environment only, once they are there. A file
# /run/secrets/NAME becomes the variable NAME of this process; `docker inspect` shows neither the name
# nor the value.
set -eu
waited=0
for file in AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY DRONE_COOKIE_SECRET DRONE_DATABASE_DATASOURCE DRONE_DATABASE_SECRET DRONE_GITEA_CLIENT_ID DRONE_GITEA_CLIENT_SECRET DRONE_RPC_SECRET database_roots.pem; do
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
