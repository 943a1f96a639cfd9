#!/bin/sh
# Starts the worker once its secrets are there, and applies the platform's blueprints as soon as authentik can take
# them. It is healthy when they are applied; why they are not is in its log.
set -eu
waited=0
for file in admin_password authentik_database_password authentik_database_user authentik_secret_key database_roots.pem oidc_coder oidc_gitea oidc_grafana; do
  until [ -f "/run/secrets/$file" ]; do
    if [ $((waited % 30)) -eq 0 ]; then
      echo "waiting for /run/secrets/$file, which comes when the secret server is open" >&2
    fi
    sleep 1
    waited=$((waited + 1))
  done
done
unset file waited
applied=/dev/shm/devplat-applied
rm -f "$applied"
# authentik ends its first set-up with a password for its own first account only from the environment. This one is
# random and never kept: the account is switched off by a blueprint.
AUTHENTIK_BOOTSTRAP_PASSWORD=$(head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n')
(
  unset AUTHENTIK_BOOTSTRAP_PASSWORD
  until ak healthcheck >/dev/null 2>&1; do sleep 3; done
  cd /blueprints
  # people first: the others build on them
  until ak apply_blueprint devplat/people.yaml $(ls devplat/*.yaml | grep -v -x devplat/people.yaml) >&2; do
    echo "the platform's blueprints are not applied yet" >&2
    sleep 5
  done
  touch "$applied"
) &
export AUTHENTIK_BOOTSTRAP_PASSWORD
exec "$@"
