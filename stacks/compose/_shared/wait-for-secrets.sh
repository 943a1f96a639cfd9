#!/bin/sh
# Starts a program once the secrets of this service are there. After a reboot the engine starts every
# container at once, and the secret server has to be opened first.
set -eu
{% include '_shared/secrets-there.sh' %}
unset file waited
exec "$@"
