#!/bin/sh
# Makes the first owner of Coder from inside. Until there is one, whoever opens the setup page becomes it; the edge
# refuses that page. The password comes on standard input. `check`: whether there is an owner. The owner has an address
# of its own: Coder lets nobody in by single sign-on whose address belongs to an account with a password.
set -eu
first=http://127.0.0.1:7080/api/v2/users/first
if [ "${1:-}" = check ]; then
  exec curl -fsS -o /dev/null "$first"
fi
owner='{"email": "coder-emergency@company.com", "name": "Emergency owner", "trial": false, "username": "coder-emergency"}'
IFS= read -r password
quoted=$(printf %s "$password" | sed 's/[\\"]/\\&/g')
status=$(
  printf '%s,"password":"%s"}' "${owner%?}" "$quoted" |
    curl -sS -H 'Content-Type: application/json' --data-binary @- -o /tmp/owner -w '%{http_code}' "$first"
)
[ "$status" = 201 ] || { cat /tmp/owner >&2; exit 1; }
