#!/bin/sh
# What the monitoring is told, as a file that is replaced in one piece.
set -eu
. "$(dirname "$0")/common.sh"
mkdir -p "$metrics"
{
  echo '# HELP devplat_backup_last_success_timestamp_seconds End of the newest complete and verified backup.'
  echo '# TYPE devplat_backup_last_success_timestamp_seconds gauge'
  if [ -f "$state/newest" ]; then
    jq -r '"devplat_backup_last_success_timestamp_seconds \(.ended)"' "$state/newest"
    echo '# HELP devplat_backup_duration_seconds Duration of the newest complete backup, and of its parts.'
    echo '# TYPE devplat_backup_duration_seconds gauge'
    jq -r '"devplat_backup_duration_seconds{part=\"all\"} \(.ended - .started)",
      (.parts[] | "devplat_backup_duration_seconds{part=\"\(.name)\"} \(.ended - .started)")' "$state/newest"
    echo '# HELP devplat_backup_size_bytes Size of the newest complete backup, and of its parts, before compression.'
    echo '# TYPE devplat_backup_size_bytes gauge'
    jq -r '"devplat_backup_size_bytes{part=\"all\"} \(.size)",
      (.parts[] | "devplat_backup_size_bytes{part=\"\(.name)\"} \(.size)")' "$state/newest"
  else
    echo 'devplat_backup_last_success_timestamp_seconds 0'
  fi
  echo '# HELP devplat_backup_last_result 1 when the last run did this, 0 when it failed.'
  echo '# TYPE devplat_backup_last_result gauge'
  if [ -f "$state/last" ]; then
    jq -r '"devplat_backup_last_result{part=\"all\"} \(if .complete then 1 else 0 end)"' "$state/last"
    while read -r name; do
      stored=0
      if grep -q "\"name\":\"$name\"" "$state/work/parts" 2>/dev/null; then stored=1; fi
      echo "devplat_backup_last_result{part=\"$name\"} $stored"
    done <"$etc/parts"
    kept=1
    [ ! -f "$state/kept" ] || kept=0
    echo "devplat_backup_last_result{part=\"retention\"} $kept"
  fi
  echo '# HELP devplat_backup_drill_timestamp_seconds End of the last restore drill that succeeded.'
  echo '# TYPE devplat_backup_drill_timestamp_seconds gauge'
  echo "devplat_backup_drill_timestamp_seconds $(cat "$state/drilled" 2>/dev/null || echo 0)"
} >"$metrics/.devplat_backup.part"
chmod 644 "$metrics/.devplat_backup.part"
mv -f "$metrics/.devplat_backup.part" "$metrics/devplat_backup.prom"
