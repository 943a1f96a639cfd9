#!/usr/bin/dumb-init /bin/sh
# Entry point of OpenBao's and of Vault's image: words that the program knows are for it, others are
# run as they are. It would start a server for development unless told otherwise.
set -e
ulimit -c 0
program=bao
command -v "$program" >/dev/null || program=vault
case "${1-}" in
  -*) set -- "$program" "$@" ;;
  server)
    shift
    set -- "$program" server -config="/$([ "$program" = bao ] && echo openbao || echo vault)/config" "$@"
    ;;
  agent | operator | status | token | version) set -- "$program" "$@" ;;
esac
exec "$@"
