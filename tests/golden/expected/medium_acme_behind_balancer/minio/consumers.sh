#!/bin/sh
# Gives each consumer a bucket, an account and a policy that opens this bucket only, and takes away the accounts of
# those that are none any more. What is there is left alone. A consumer is a file consumer_<name> among the secrets:
# access key, then secret key. The image has a shell, its built-ins and little else.
set -eu
# of this process: neither the container's settings nor a process list show the key of root
MC_HOST_local="http://$(cat /run/secrets/minio_root_user):$(cat /run/secrets/minio_root_password)@127.0.0.1:9000"
export MC_HOST_local

for policy in /opt/devplat/consumers/*.json; do
  [ -f "$policy" ] || continue
  name=${policy##*/}
  mc --quiet admin policy create local "consumer-${name%.json}" "$policy" >/dev/null
done

wanted=
for file in /run/secrets/consumer_*; do
  [ -f "$file" ] || continue
  name=${file##*/consumer_}
  {
    IFS= read -r access
    IFS= read -r secret
  } <"$file"
  mc --quiet mb --ignore-existing "local/$name" >/dev/null
  # on standard input: an argument would be in every process list
  printf '%s\n%s\n' "$access" "$secret" | mc --quiet admin user add local >/dev/null
  mc --quiet admin policy attach local "consumer-$name" --user "$access" >/dev/null
  wanted="$wanted $access "
done

mc --json admin user list local >/tmp/devplat-users
while IFS= read -r line; do
  case $line in *'"accessKey":"'*'"policyName":"consumer-'*) ;; *) continue ;; esac
  access=${line#*\"accessKey\":\"}
  access=${access%%\"*}
  case $wanted in *" $access "*) ;; *) mc --quiet admin user remove local "$access" >/dev/null ;; esac
done </tmp/devplat-users
