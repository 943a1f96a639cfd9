# Tries TCP connections, all at the same time, and prints what came of each as reach.sh does. For
# bash; as anybody, from wherever the platform is looked at. Writes a directory of its own only.
#
# Arguments: SECONDS (how long a connection may take), then pairs ADDRESS PORT.
# Whoever answers may greet: "greeting ADDRESS PORT TEXT" is what it says within 2 s, if it is asked
# for by GREET=yes in front of the pairs.
set -u
umask 077
LC_ALL=C
PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
ticks=$(printf '%.0f' "${1}e1")
shift
greet=
if [ "${1-}" = GREET=yes ]; then greet=yes && shift && ticks=$((ticks + 20)); fi
work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM PIPE

knock() {
  local line=
  { exec 3<>"/dev/tcp/$1/$2"; } && echo open || return
  [ -z "$greet" ] || ! read -r -t 2 -n 100 line <&3 || printf 'greeting %s\n' "$line"
}

main() {
  local address port file said line greeting
  work=$(mktemp -d) || exit 1
  printf '\n@devplat begin 1\n|%s\n\n@devplat section knocks 0\n' "$(date +%s)"
  while [ "$#" -ge 2 ]; do
    (knock "$1" "$2") >"$work/$1,$2" 2>&1 &
    shift 2
  done
  while ((ticks-- > 0)) && [[ -n $(jobs -rp) ]]; do sleep 0.1; done
  # shellcheck disable=SC2046
  kill -9 $(jobs -rp)
  wait
  for file in "$work"/*; do
    [[ -e $file ]] || continue
    said=silent greeting=
    while IFS= read -r line; do
      case $line in
        open) said=open ;;
        'greeting '*) greeting=${line#* } ;;
        *refused) said=refused ;;
        *'timed out') said=silent ;;
        *unreachable | *'No route to host' | *'not permitted' | *'denied' | *'assign requested address') said=unreachable ;;
        *) said=strange ;;
      esac
    done <"$file"
    file=${file##*/}
    echo "|$said ${file%,*} ${file##*,}"
    [[ -z $greeting ]] || echo "|greeting ${file%,*} ${file##*,} $greeting"
  done
  printf '\n@devplat end\n|%s\n' "$(date +%s)"
}
main "$@" </dev/null 2>/dev/null
exit
