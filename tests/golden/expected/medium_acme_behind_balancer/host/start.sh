#!/bin/sh
# Run once after a reboot, as root. The engine has started what it could by itself; this starts the rest in
# order, and says what still waits and for whom.
set -eu
umask 077
project=devplat

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
for service in backup-files-ai-gateway backup-files-authentik-server backup-files-gitea backup-files-grafana backup-files-minio backup-files-traefik blackbox-exporter loki node-exporter socket-proxy-build socket-proxy-coder socket-proxy-logs traefik vault alloy vault-agent-ai-gateway vault-agent-alertmanager vault-agent-authentik-server vault-agent-authentik-worker vault-agent-backup vault-agent-backup-database vault-agent-backup-secrets vault-agent-coder vault-agent-gitea vault-agent-grafana vault-agent-minio vault-agent-postgres vault-agent-postgres-exporter vault-agent-prometheus vault-agent-redis vault-agent-redis-exporter vault-agent-woodpecker-agent vault-agent-woodpecker-server alertmanager backup backup-secrets minio postgres prometheus redis ai-gateway authentik-server backup-database gitea grafana postgres-exporter redis-exporter authentik-worker woodpecker-server coder woodpecker-agent; do
  id=$(id_of "$service")
  [ -n "$id" ] || continue
  [ "$(docker inspect -f '{{.State.Running}}' "$id")" = false ] || continue
  if ! said=$(docker start "$id" 2>&1 >/dev/null); then
    waiting="$waiting $service"
    echo "$service does not start: $(printf '%s\n' "$said" | head -n 1)" >&2
  fi
done

echo 'the secret server is sealed until its custodians open it, and services wait for their secrets. On the bastion: devplat-install unseal' >&2
[ -n "$waiting" ] || exit 0
if [ -n "$waiting" ]; then
  echo "these did not start:$waiting" >&2
  exit 1
fi
echo "every service of $project was started"
