#!/bin/sh
# Starts a program that reads secrets from its environment only, once they are there. A file
# /run/secrets/NAME becomes the variable NAME of this process; `docker inspect` shows neither the name
# nor the value.
set -eu
{% include '_shared/secrets-there.sh' %}
for file in /run/secrets/[A-Z]*; do
  [ -f "$file" ] || continue
  value=$(cat "$file")
  export "${file##*/}=$value"
done
unset file value waited
exec "$@"
