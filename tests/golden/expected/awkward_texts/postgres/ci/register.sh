#!/bin/sh
# Registers CI in the Git server's database, because its interface would make an id and a secret of its own, and
# both are here already. Four lines on standard input: login and password of its database, then those two. `check`:
# whether that is done.
set -eu
IFS= read -r PGUSER
IFS= read -r PGPASSWORD
export PGUSER PGPASSWORD
IFS= read -r id
IFS= read -r secret
callback='https://ci.xn--mnchen-dev-9db.de/login'
run() {
  {
    cat <<VARIABLES
\set id '$id'
\set secret '$secret'
\set callback '["$callback"]'
VARIABLES
    cat
  } | psql -X -q -A -t -w -v ON_ERROR_STOP=1 -h "${DATABASE_HOST:-127.0.0.1}" -d gitea
}
if [ "${1:-}" = check ]; then
  # in two questions: without the extension the second cannot be asked
  [ "$(echo "SELECT count(*) FROM pg_extension WHERE extname = 'pgcrypto';" | run)" = 1 ] || exit 1
  run <<'SQL' | grep -qx t
SELECT client_secret = crypt(:'secret', client_secret) AND redirect_uris = :'callback'
  FROM oauth2_application WHERE client_id = :'id' AND uid = 0;
SQL
  exit
fi
run <<'SQL'
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgcrypto;
DELETE FROM oauth2_application WHERE uid = 0 AND name = 'Drone';
INSERT INTO oauth2_application
  (uid, name, client_id, client_secret, confidential_client, skip_secondary_authorization, redirect_uris,
   created_unix, updated_unix)
  VALUES (0, 'Drone', :'id', crypt(:'secret', gen_salt('bf', 10)), true, false, :'callback',
    extract(epoch FROM now())::bigint, extract(epoch FROM now())::bigint);
COMMIT;
SQL
