#!/bin/sh
# Whether a secret key, which comes on standard input, opens the bucket of the consumer $1.
set -eu
. /opt/devplat/request.sh
IFS= read -r value
IFS= read -r access <"/run/secrets/consumer_$1"
echo "status $(s3 "$access" "$value" --head "$server/$1")"
