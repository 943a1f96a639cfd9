#!/bin/sh
# Roles, globals and every database as a tar stream on standard output; row counts go to $1/facts.json.
# Counts and dump of a database are of one snapshot. Passwords of roles are not read: the secret store has them.
# Of a server that is not ours alone, only what carries BACKUP_MARK.
set -eu
work=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
export PGUSER=${PGUSER:-$(cut -d : -f 4 "$PGPASSFILE")}
query() { psql -XAtqw -v ON_ERROR_STOP=1 -d "$1" -c "$2"; }

mkdir "$work/part"
maintenance=${BACKUP_MAINTENANCE:-postgres}
query "$maintenance" 'SHOW server_version' >"$work/version"
if [ -n "${BACKUP_MARK:-}" ]; then
  psql -XAtqw -v ON_ERROR_STOP=1 -v mark="$BACKUP_MARK" -d "$maintenance" -f "$here/ours.sql" >"$work/databases"
  psql -XAtqw -v ON_ERROR_STOP=1 -v mark="$BACKUP_MARK" -d "$maintenance" -f "$here/roles.sql" >"$work/part/globals.sql"
  [ -s "$work/databases" ] || { echo "no database on the server carries the comment '$BACKUP_MARK'" >&2; exit 3; }
else
  query postgres 'SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1' >"$work/databases"
  pg_dumpall -w -l postgres --globals-only --no-role-passwords >"$work/part/globals.sql"
fi
grep -q '^-- PostgreSQL database cluster dump complete' "$work/part/globals.sql"

separator=
printf '{"server":"%s","databases":{' "$(cut -d ' ' -f 1 "$work/version")" >"$work/facts.part"
while IFS= read -r database; do
  case $database in
    '' | *[!A-Za-z0-9_-]*) echo "the name of database '$database' cannot be backed up" >&2; exit 3 ;;
  esac
  export DUMP_DATABASE="$database" DUMP_FOLDER="$work/part"
  rm -f "$work/part/status"
  psql -XAtqw -v ON_ERROR_STOP=1 -d "$database" -f "$here/dump.sql" >"$work/rows"
  dumped=$(cat "$work/part/status")
  [ "$dumped" -eq 0 ] || { echo "pg_dump of $database ended with status $dumped" >&2; exit 4; }
  rm -f "$work/part/status"
  entries=$(pg_restore --list "$work/part/$database.dump" | grep -c -v '^;') || :
  printf '%s"%s":{"entries":%d,"rows":[%s]}' "$separator" "$database" "$entries" \
    "$(paste -s -d , "$work/rows")" >>"$work/facts.part"
  separator=,
done <"$work/databases"
printf '}}\n' >>"$work/facts.part"
tar -C "$work/part" -c -f - .
mv "$work/facts.part" "$work/facts.json"
