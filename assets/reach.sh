# Who reaches whom: tries TCP connections from the network name space of every container of a
# deployment, and prints what came of each. For bash 4.3 or later, as root. Changes nothing: its only
# write is a directory of its own (0700, on a memory file system where there is one), which it removes.
#
# Arguments: PROJECT SECONDS (how long a connection may take, 1.3 covers one lost packet).
# Looked at: containers of the compose project, others on its networks, and those with a role that
# are of no other deployment (workspaces). Tried: every port that something listens on, at every
# address of every one of them; ports of the host, at the addresses that containers are near to and
# at those towards the outside; metadata services of clouds; the host's own router and name servers,
# which stand for what lies outside.
#
# Output: sections as in probe.sh. "place host" and "place PID" say what a place is like, "tries PID"
# what came of its tries: open, refused, unreachable, silent (no answer in time), strange; and
# "listeners tcp" and "listeners udp" what listens on the host, by ss.
set -u
umask 077
LC_ALL=C
PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
unset CDPATH BASH_ENV DOCKER_CLI_HINTS 2>/dev/null
AT_ONCE=8
project=$1
ticks=$(printf '%.0f' "${2}e1")
work=

clean() { [ -z "$work" ] || rm -rf "$work" 2>/dev/null || { sleep 1; rm -rf "$work"; }; }
trap clean EXIT
trap 'exit 1' HUP INT TERM PIPE

# IPv4 addresses are compared as the kernel prints them in /proc/net/route: little-endian.
number() {
  local IFS=.
  # shellcheck disable=SC2086
  set -- $1
  value=$((($4 << 24) | ($3 << 16) | ($2 << 8) | $1))
}

# Routes of the name space that this process is in, or of a process: destinations, masks, devices.
read_routes() {
  local device destination gateway mask skip
  destinations=() masks=() devices=() routers=()
  while read -r device destination gateway skip skip skip skip mask skip; do
    [[ $destination =~ ^[0-9A-F]{8}$ ]] || continue
    if [[ $mask == 00000000 ]]; then
      routers+=("$((16#${gateway:6:2})).$((16#${gateway:4:2})).$((16#${gateway:2:2})).$((16#${gateway:0:2}))")
    else
      destinations+=("$destination") masks+=("$mask") devices+=("$device")
    fi
  done <"$1/net/route"
}

# The device that an IPv4 address is on the link of; fails when it is on none.
find_device() {
  local index value
  number "$1"
  for index in "${!destinations[@]}"; do
    if ((16#${destinations[index]} == (value & 16#${masks[index]}))); then
      device=${devices[index]}
      return 0
    fi
  done
  return 1
}

# Runs in the name space of a container. Standard input: "any|near ADDRESS PORT"; `near` is tried
# only where the address is on a link. A try that cannot leave the name space costs no process.
try_all() {
  local directory=$1 ticks=$2 scope address port file said line result has_six= device
  exec 2>/dev/null
  read_routes /proc/self
  while read -r _ _ _ _ _ device; do [[ $device == lo ]] || has_six=yes; done </proc/self/net/if_inet6
  while read -r scope address port; do
    if [[ $address == *:* ]]; then
      [[ $scope == any || $has_six ]] || continue
      [[ -z $has_six ]] || { start_try; continue; }
    elif find_device "$address"; then
      start_try
      continue
    else
      [[ $scope == any ]] || continue
      ((${#routers[@]} == 0)) || { start_try; continue; }
    fi
    if { : 3<>"/dev/tcp/$address/$port"; } 2>/dev/null; then
      echo "open $address $port"
    else
      echo "unreachable $address $port"
    fi
  done
  while ((ticks-- > 0)) && [[ -n $(jobs -rp) ]]; do sleep 0.1; done
  # shellcheck disable=SC2046
  kill -9 $(jobs -rp)
  wait
  for file in "$directory"/*; do
    [[ -e $file ]] || continue
    said=
    while IFS= read -r line; do said=$line; done <"$file"
    case $said in
      open) result=open ;;
      *refused) result=refused ;;
      '' | *'timed out') result=silent ;;
      *unreachable | *'No route to host' | *'not permitted' | *'denied' | *'assign requested address') result=unreachable ;;
      *) result=strange ;;
    esac
    file=${file##*/}
    echo "$result ${file%,*} ${file##*,}"
  done
}
start_try() { { : 3<>"/dev/tcp/$address/$port" && echo open; } >"$directory/$address,$port" 2>&1 & }

# Ports of a process's name space that something outside of it can connect to.
read_ports() {
  local local_address state _ host port
  ports=()
  while read -r _ local_address _ state _; do
    [[ $state == 0A ]] || continue
    host=${local_address%:*}
    case $host in
      ??????7F | 00000000000000000000000001000000 | 0000000000000000FFFF0000??????7F) continue ;;
    esac
    port=$((16#${local_address##*:}))
    [[ " ${ports[*]-} " == *" $port "* ]] || ports+=("$port")
  done < <(cat "$1/net/tcp" "$1/net/tcp6" 2>/dev/null)
}

# Addresses of a process's name space; devices6 has the device of each of IPv6.
read_addresses() {
  local first second third last= word scope device
  addresses=() links=()
  declare -gA devices6=()
  while read -r first second third _; do
    if [[ $first == '|--' ]]; then
      last=$second
    elif [[ "$first $second $third" == '/32 host LOCAL' && $last != 127.* ]]; then
      [[ " ${addresses[*]-} " == *" $last "* ]] || addresses+=("$last")
    fi
  done <"$1/net/fib_trie"
  [[ -r $1/net/if_inet6 ]] || return 0
  while read -r word _ _ scope _ device; do
    word=${word:0:4}:${word:4:4}:${word:8:4}:${word:12:4}:${word:16:4}:${word:20:4}:${word:24:4}:${word:28:4}
    case $scope in
      00) addresses+=("$word") && devices6[$word]=$device ;;
      20) links+=("$word") ;;
    esac
  done <"$1/net/if_inet6"
}

# One line for each container to look at: "PID ID JSON".
find_containers() {
  local networks running id joined of role deployment name chosen=()
  networks=$(docker network ls --filter "label=com.docker.compose.project=$project" --format '{{.Name}}') || return
  running=$(docker ps --no-trunc --format '{{.ID}}%{{.Networks}}%{{.Label "com.docker.compose.project"}}%{{.Label "devplat.deployment"}}%{{.Label "devplat.role"}}') || return
  networks=" ${networks//$'\n'/ } "
  while IFS='%' read -r id joined of deployment role; do
    [[ $id ]] || continue
    if [[ $of != "$project" ]]; then
      [[ $role && ( -z $deployment || $deployment == "$project" ) ]] && role=of
      for name in ${joined//,/ }; do [[ $networks != *" $name "* ]] || role=of; done
      [[ $role == of ]] || continue
    fi
    chosen+=("$id")
  done <<<"$running"
  ((${#chosen[@]})) || return 0
  docker inspect --type container --format '{{.State.Pid}} {"name":{{json .Name}},"project":{{json (index .Config.Labels "com.docker.compose.project")}},"service":{{json (index .Config.Labels "com.docker.compose.service")}},"role":{{json (index .Config.Labels "devplat.role")}},"mode":{{json .HostConfig.NetworkMode}}}' "${chosen[@]}"
}

section() { printf '\n@devplat section %s %s %s\n' "$1" "$2" "$3"; }
show_place() {
  local item
  for item in "${addresses[@]-}"; do [[ -z $item ]] || echo "|address $item"; done
  for item in "${links[@]-}"; do [[ -z $item ]] || echo "|link $item"; done
  for item in "${routers[@]-}"; do [[ -z $item ]] || echo "|router $item"; done
  for item in "${ports[@]-}"; do [[ -z $item ]] || echo "|port $item"; done
}

look_at_host() {
  local address scope device server port
  read_routes /proc/self
  read_addresses /proc/self
  read_ports /proc/self
  section place 0 host
  show_place
  for address in "${addresses[@]-}"; do
    [[ $address ]] || continue
    device=${devices6[$address]-}
    [[ $device ]] || find_device "$address" || device=
    scope=any
    [[ -z $device || ! -d /sys/class/net/$device/bridge ]] || scope=near
    for port in "${ports[@]-}"; do [[ -z $port ]] || echo "$scope $address $port"; done
  done >>"$work/targets"
  {
    for server in "${routers[@]-}"; do [[ -z $server || $server == 0.0.0.0 ]] || printf '%s\n' "$server 443" "$server 53"; done
    while read -r word server _; do [[ $word != nameserver ]] || echo "$server 53"; done </etc/resolv.conf
  } 2>/dev/null | while read -r server port; do
    [[ $server != 127.* && $server != ::1 && $server != *%* && " ${addresses[*]-} " != *" $server "* ]] || continue
    echo "|outside $server $port"
    echo "any $server $port" >>"$work/targets"
  done
  printf '%s\n' 'any 169.254.169.254 80' 'any fd00:ec2::254 80' >>"$work/targets"
}

look_at_container() {
  local address port
  section place 0 "$1"
  printf '|json %s\n' "$2"
  if [[ $(readlink "/proc/$1/ns/net") == "$own" ]]; then
    echo '|shares host'
    return 1
  fi
  read_routes "/proc/$1" && read_addresses "/proc/$1" && read_ports "/proc/$1" || return 1
  show_place
  for address in "${addresses[@]-}"; do
    for port in "${ports[@]-}"; do [[ -z $address || -z $port ]] || echo "any $address $port"; done
  done >>"$work/targets"
}

main() {
  local place pid json pids=() running=0 own
  for place in /dev/shm /run /tmp; do
    work=$(mktemp -d "$place/devplat-reach.XXXXXX" 2>/dev/null) && break
  done
  [[ $work ]] || { echo 'no directory for notes' >&2 && return 1; }
  command -v nsenter >/dev/null || { echo 'nsenter is missing' >&2 && return 1; }
  printf '\n@devplat begin 1\n|%s\n' "$(date +%s)"
  own=$(readlink /proc/self/ns/net)
  look_at_host
  section listeners 0 tcp
  ss -ltnp 2>/dev/null | sed 's/^/|/'
  section listeners 0 udp
  ss -lunp 2>/dev/null | sed 's/^/|/'
  find_containers >"$work/containers" || { echo 'the engine does not say which containers there are' >&2 && return 1; }
  while read -r pid json; do
    look_at_container "$pid" "$json" 2>/dev/null && pids+=("$pid")  # it may end meanwhile
  done <"$work/containers"
  for pid in "${pids[@]-}"; do
    [[ $pid ]] || continue
    ((++running <= AT_ONCE)) || wait -n
    mkdir "$work/$pid"
    nsenter -t "$pid" -n bash -c "$(declare -f number read_routes find_device start_try try_all); try_all $work/$pid $ticks" \
      <"$work/targets" >"$work/$pid.tries" 2>"$work/$pid.complaint" &
  done
  wait
  for pid in "${pids[@]-}"; do
    [[ $pid ]] || continue
    section tries 0 "$pid"
    sed 's/^/|/' "$work/$pid.tries"
    sed 's/^/!/' "$work/$pid.complaint"
  done
  printf '\n@devplat end\n|%s\n' "$(date +%s)"
}
main </dev/null
exit
