#!/bin/sh
# Every consumer writes, reads and deletes an object in its own bucket, and is refused by every other one.
set -eu
. /opt/devplat/request.sh
key=devplat-probe-$$
fail() {
  echo "$1" >&2
  exit 1
}
for file in /run/secrets/consumer_*; do
  [ -f "$file" ] || continue
  name=${file##*/consumer_}
  {
    IFS= read -r access
    IFS= read -r secret
  } <"$file"
  own=$server/$name/$key
  written=$(s3 "$access" "$secret" -T "$0" "$own") # of a file: curl 7 signs other bodies wrongly
  read_back=$(s3 "$access" "$secret" "$own")
  deleted=$(s3 "$access" "$secret" -X DELETE "$own")
  [ "$written $read_back $deleted" = "200 200 204" ] ||
    fail "$name and its own bucket: $written written, $read_back read, $deleted deleted"
  for other in /run/secrets/consumer_* consumer_devplat-nobody; do
    other=${other##*consumer_}
    [ "$other" != "$name" ] || continue
    for request in "$server/$other/" "$server/$other/$key"; do
      status=$(s3 "$access" "$secret" "$request")
      [ "$status" = 403 ] || fail "$name asks for ${request#"$server"/}: $status, want 403"
    done
  done
done
echo buckets-apart
