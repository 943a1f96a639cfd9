#!/bin/sh
# The entry point of the official Traefik image: options and commands are the program's.
set -e
case ${1:-} in
  -* | healthcheck | version) set -- traefik "$@" ;;
esac
exec "$@"
