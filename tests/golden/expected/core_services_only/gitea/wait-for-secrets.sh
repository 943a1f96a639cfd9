#!/bin/sh
# Starts a program once the secrets of this service are there. After a reboot the engine starts every
# container at once, and the secret server has to be opened first.
set -eu
waited=0
for file in database_password database_roots.pem database_user edge_roots.pem internal_token lfs_jwt_secret metrics_token oauth2_jwt_secret redis_cache redis_queue redis_session secret_key; do
  until [ -f "/run/secrets/$file" ]; do
    if [ $((waited % 30)) -eq 0 ]; then
      echo "waiting for /run/secrets/$file, which comes when the secret server is open" >&2
    fi
    sleep 1
    waited=$((waited + 1))
  done
done
unset file waited
exec "$@"
