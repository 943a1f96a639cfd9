#!/bin/sh
# Puts a dump of pg_dump (custom format, standard input) in the place of a database of this deployment, on the server
# outside. One argument: the database. It is restored beside first; the old one stays under another name.
set -eu
database=$1 fresh="$1_restored" before="$1_before_$(date -u +%Y%m%dt%H%M%S)"
admin() { psql -X -q -A -t -w -v ON_ERROR_STOP=1 -v database="$database" -v fresh="$fresh" -v before="$before" \
  -v owner="${owner:-}" -v mark="$DATABASE_MARK" -d service=admin; }
owner=$(admin <<'SQL'
SELECT pg_get_userbyid(datdba) FROM pg_database
  WHERE datname = :'database' AND shobj_description(datdba, 'pg_authid') = :'mark';
SQL
)
[ -n "$owner" ] || { echo "no database $database of this deployment is there" >&2; exit 3; }
admin <<'SQL'
GRANT :"owner" TO CURRENT_USER;
SELECT format('DROP DATABASE %I', datname) FROM pg_database WHERE datname = :'fresh' \gexec
CREATE DATABASE :"fresh" OWNER :"owner" TEMPLATE template0 ENCODING 'UTF8';
SET ROLE :"owner";
REVOKE ALL ON DATABASE :"fresh" FROM PUBLIC;
SQL
pg_restore -w --exit-on-error --single-transaction --no-owner --role="$owner" -d "service=admin dbname=$fresh"
admin <<'SQL'
BEGIN;
ALTER DATABASE :"database" RENAME TO :"before";
ALTER DATABASE :"fresh" RENAME TO :"database";
COMMIT;
REVOKE :"owner" FROM CURRENT_USER;
SQL
echo "$database is what the dump has; what was there is $before until you drop it"
