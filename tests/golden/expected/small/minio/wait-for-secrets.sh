#!/bin/sh
# Starts the server once its secrets are there, and gives its consumers their buckets as soon as it answers. It is
# healthy when they have them; why they have not is in its log.
set -eu
waited=0
for file in consumer_drone consumer_gitea edge_roots.pem minio_root_password minio_root_user; do
  until [ -f "/run/secrets/$file" ]; do
    if [ $((waited % 30)) -eq 0 ]; then
      echo "waiting for /run/secrets/$file, which comes when the secret server is open" >&2
    fi
    sleep 1
    waited=$((waited + 1))
  done
done
unset file waited
ready=/tmp/devplat-consumers
rm -f "$ready"
(
  until curl -fsS -o /dev/null http://127.0.0.1:9000/minio/health/live 2>/dev/null; do sleep 1; done
  until /bin/sh /opt/devplat/consumers.sh >&2; do
    echo "the consumers do not have their buckets yet" >&2
    sleep 3
  done
  : >"$ready"
) &
exec "$@"
