#!/bin/sh
# Sourced: one request as a consumer; prints the status. $1: access key, $2: secret key, the rest is curl's.
server=http://127.0.0.1:9000
s3() {
  printf 'user = "%s:%s"\n' "$1" "$2" | {
    shift 2
    curl -sS -K - --aws-sigv4 aws:amz:us-east-1:s3 -o /dev/null -w '%{http_code}' "$@"
  }
}
