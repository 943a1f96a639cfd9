#!/bin/sh
# Starts the program with what only exists in memory: the digest of the certificate it starts with,
# for health.sh, and where an authority binds accounts, the configuration with the MAC key in it.
set -eu
umask 077
sha256sum /run/secrets/tls_fullchain.pem /run/secrets/tls_key.pem >/tmp/certificate
exec traefik
