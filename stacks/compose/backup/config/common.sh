# What the scripts of the backup share: places, restic's answers, state that is replaced in one piece.
root=${BACKUP_ROOT:-}
state=$root/state parts=$root/parts scratch=$root/scratch metrics=$root/metrics etc=${BACKUP_ETC:-/etc/backup}
here=$(cd "$(dirname "$0")" && pwd)
export TZ=UTC RESTIC_CACHE_DIR="$state/cache" TMPDIR="$state/tmp" RESTIC_PROGRESS_FPS=0.01
mkdir -p "$state/tmp"
host=$(jq -r .deployment "$etc/facts.json")
umask 027

say() { echo "backup: $*" >&2; }
fail() { say "failed: $*"; echo "$*" >"$state/why" 2>/dev/null || :; exit "${code:-1}"; }
replace() { cat >"$1.part" && mv -f "$1.part" "$1"; }

# Ends with restic's own status; 10 is no repository, 12 a passphrase that opens none of its keys.
repository() { restic --quiet --retry-lock "${BACKUP_LOCK_WAIT:-40m}" "$@" 9>&-; }

open_repository() {
  status=0
  repository --no-lock cat config >/dev/null 2>"$state/complaint" || status=$?
  case $status in
    0) ;;
    10)
      [ ! -f "$state/key" ] || fail "the repository is gone, and there was one with key $(cat "$state/key")"
      [ "${1:-}" = make ] || fail "there is no backup yet"
      repository init >/dev/null || fail "the repository cannot be made"
      ;;
    12) fail "the passphrase opens no key of the repository; its backups were made with key $(cat "$state/key" 2>/dev/null || echo unknown)" ;;
    *) fail "the repository does not answer: $(tail -n 1 "$state/complaint")" ;;
  esac
}

# Snapshots as objects {id, run, part, time}; the last snapshot of a run, its manifest, has the part `complete`. Each
# process has a file of its own: a backup that begins must not empty the list that a fetch reads.
snapshots() {
  repository snapshots --json --host "$host" >"$state/tmp/snapshots.$$" || return 1
  jq -c '[.[] | {id, run: (.tags // [] | map(select(startswith("run:")))[0] // "run:?" | .[4:]),
    part: (.tags // [] | map(select(startswith("part:")))[0] // "part:?" | .[5:])}]' "$state/tmp/snapshots.$$" && rm -f "$state/tmp/snapshots.$$"
}
