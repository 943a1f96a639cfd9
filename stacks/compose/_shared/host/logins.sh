# Agents have lost their logins. The host's own can have new ones made, wrapped for one use, and read no secret.
login={{ plan.install_dir }}/state/boot-login
authority={{ plan.data_dir }}/{{ plan.server.name }}/{{ plan.server.server.tls }}/ca.pem
server=$(id_of {{ plan.server.name }})
waited=0
until docker exec "$server" vault status >/dev/null 2>&1; do
  [ $waited -lt 300 ] || { echo 'the secret server does not open by itself; look at its log' >&2; exit 1; }
  sleep 2
  waited=$((waited + 2))
done

# Run beside the server. Secrets come by standard input and stay in that shell.
issue='set -eu
read -r role
read -r id
read -r secret
VAULT_TOKEN=$(printf "{\"role_id\":\"%s\",\"secret_id\":\"%s\"}" "$id" "$secret" | vault write -field=token auth/approle/login -)
export VAULT_TOKEN
id=$(vault read -field=role_id "auth/approle/role/$role/role-id")
printf "%s " "$id"
vault write -f -field=wrapping_token -wrap-ttl=300 "auth/approle/role/$role/secret-id"
vault token revoke -self >/dev/null'

# give AGENT ROLE RECEIVE...
give() {
  agent=$(id_of "$1")
  role=$2
  shift 2
  [ "$(docker inspect -f '{{ '{{.State.Health.Status}}' }}' "$agent")" != healthy ] || return 0
  issued=$({ printf '%s\n' "$role"; cat "$login"; } | docker exec -i "$server" sh -c "$issue") || return 1
  id=${issued%% *}
  wrapped=${issued#* }
  {
    printf '%s\n%s%s\n%s' {% raw %}"${#id}" "$id" "${#wrapped}" "$wrapped"{% endraw %}

    stat -c %s "$authority"
    cat "$authority"
  } | docker exec -i "$agent" "$@"
}

left=
{% for consumer, agent in plan.agents | dictsort %}
give {{ agent }} {{ plan.deployment }}-{{ consumer }} {{ plan.manifest(agent).agent.receive | join(' ') }} || left="$left {{ agent }}"
{% endfor %}
if [ -n "$left" ]; then
  echo "these got no login:$left. On the bastion: devplat-install unseal" >&2
  exit 1
fi
