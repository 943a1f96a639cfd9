#!/bin/sh
# Starts the secret server, and turns its audit log over so that it cannot fill the disk.
set -eu
umask 077
log=/openbao/logs/audit.log
largest=65536 # KiB
kept='7 6 5 4 3 2 1'

# They are for the command line in this container. The server would take them for the address of the
# server that unseals it.
unset VAULT_ADDR VAULT_CACERT

turn_over() {
  while sleep 60; do
    if [ -n "$(find "$log" -size "+${largest}k" 2>/dev/null)" ]; then
      for number in $kept; do
        if [ -f "$log.$number" ]; then mv "$log.$number" "$log.$((number + 1))"; fi
      done
      mv "$log" "$log.1"
      kill -HUP $$ # the server by then: it opens the file anew
    fi
  done
}

turn_over &
exec vault server -config=/etc/openbao/server.hcl
