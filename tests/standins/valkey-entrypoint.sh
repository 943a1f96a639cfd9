#!/bin/sh
# The entry point of the official Valkey image: a first argument that is an option or a file is the
# server's; root gives way to the account that owns /data.
set -e
if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then set -- valkey-server "$@"; fi
if [ "$1" = valkey-server ] && [ "$(id -u)" = 0 ]; then
  find . \! -user valkey -exec chown valkey '{}' +
  exec gosu valkey "$0" "$@"
fi
umask 0077
# shellcheck disable=SC2086
exec "$@" ${VALKEY_EXTRA_FLAGS:-}
