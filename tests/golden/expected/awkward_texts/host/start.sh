#!/bin/sh
# Run once after a reboot, as root. The engine has started what it could by itself; this starts the rest in
# order, and says what still waits and for whom.
set -eu
umask 077
project=0123

# Secret files were in memory. Whoever brings them again must not find a directory on a disk in their place.
secrets=/srv/on/secrets
mkdir -p "$secrets"
if [ "$(stat -f -c %T "$secrets")" != tmpfs ]; then
  mount -t tmpfs -o size=16m,mode=0700,nosuid,nodev,noexec tmpfs "$secrets"
fi

waited=0
until docker info >/dev/null 2>&1; do
  [ $waited -lt 300 ] || { echo 'the engine does not answer' >&2; exit 1; }
  sleep 1
  waited=$((waited + 1))
done

id_of() {
  docker ps -aq --filter "label=com.docker.compose.project=$project" --filter "label=com.docker.compose.service=$1"
}

waiting=
for service in alertmanager blackbox-exporter loki minio node-exporter postgres prometheus redis socket-proxy-build socket-proxy-coder socket-proxy-logs traefik ai-gateway alloy authentik-server gitea grafana postgres-exporter redis-exporter authentik-worker drone-server coder drone-runner; do
  id=$(id_of "$service")
  [ -n "$id" ] || continue
  [ "$(docker inspect -f '{{.State.Running}}' "$id")" = false ] || continue
  if ! said=$(docker start "$id" 2>&1 >/dev/null); then
    waiting="$waiting $service"
    echo "$service does not start: $(printf '%s\n' "$said" | head -n 1)" >&2
  fi
done

if [ -z "$(find "$secrets" -type f | head -n 1)" ]; then
  echo "the secrets were in memory and are gone;${waiting:- nothing} waits for them. On the bastion: devplat-install apply" >&2
  exit 0
fi
if [ -n "$waiting" ]; then
  echo "these did not start:$waiting" >&2
  exit 1
fi
echo "every service of $project was started"
