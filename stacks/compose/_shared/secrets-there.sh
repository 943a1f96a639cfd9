waited=0
for file in {{ service.secret_files | sort(case_sensitive=true) | join(' ') }}; do
  until [ -f "/run/secrets/$file" ]; do
    if [ $((waited % 30)) -eq 0 ]; then
      echo "waiting for /run/secrets/$file, which comes when the secret server is open" >&2
    fi
    sleep 1
    waited=$((waited + 1))
  done
done
