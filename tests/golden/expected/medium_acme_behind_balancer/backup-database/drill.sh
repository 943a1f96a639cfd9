#!/bin/sh
# Restores roles and databases from $BACKUP_RESTORE into a server of their own, without a network, below $BACKUP_READY,
# and compares the rows of every table with what the manifest says. Status 0 means that nothing differs.
set -eu
part=$1 from=${BACKUP_RESTORE:-/restore} ready=${BACKUP_READY:-/ready}
work=$ready/.work cluster=$ready/data/pgdata
unset PGHOST PGPASSFILE
export PGHOST="${BACKUP_SOCKET:-/tmp}" PGUSER=postgres PGPORT="${BACKUP_PORT:-5432}"
find "$ready" -mindepth 1 -maxdepth 1 -exec rm -rf {} +
mkdir -p "$work" "$ready/data"
tar -x -f "$from/$part.tar" -C "$work"
rm -f "$work/rows"
initdb -D "$cluster" -U postgres --encoding=UTF8 --data-checksums --auth-local=peer --auth-host=scram-sha-256 >/dev/null
pg_ctl -D "$cluster" -s -w -t 120 -l "$work/log" \
  -o "-c listen_addresses='' -c unix_socket_directories='$PGHOST' -p $PGPORT" start >/dev/null
trap 'pg_ctl -D "$cluster" -s -m fast stop || :' EXIT
# the role that exists in every cluster is not made again
sed '/^CREATE ROLE postgres;$/d' "$work/globals.sql" >"$work/roles.sql"
psql -XAtqw -v ON_ERROR_STOP=1 -d postgres -f "$work/roles.sql" >/dev/null
for dump in "$work"/*.dump; do
  database=$(basename "$dump" .dump)
  if [ "$database" = postgres ]; then
    pg_restore -w --exit-on-error --clean --if-exists -d postgres "$dump"
  else
    pg_restore -w --exit-on-error --create -d postgres "$dump"
  fi
  psql -XAtqw -v ON_ERROR_STOP=1 -d "$database" -c ANALYZE
  psql -XAtqw -v ON_ERROR_STOP=1 -v database="$database" -d "$database" -f "$(dirname "$0")/rows.sql" >>"$work/rows"
done
LC_ALL=C sort "$work/rows" >"$work/found"
if ! diff "$from/$part.rows" "$work/found" >"$work/differences"; then
  echo "rows differ from the manifest (<) in what was restored (>):" >&2
  grep '^[<>]' "$work/differences" | head -n 6 >&2
  exit 1
fi
tables=$(wc -l <"$work/found")
rows=$(cut -f 3 "$work/found" | paste -s -d + | sed 's/^$/0/')
pg_ctl -D "$cluster" -s -m fast stop
trap - EXIT
rm -rf "$work"
printf '{"tables": %d, "rows": %d}\n' "$tables" "$(($rows))"
