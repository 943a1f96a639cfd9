#!/bin/sh
# Examines a host and prints what it finds. Changes nothing: its only write is a directory of its
# own (0700, on a memory file system where there is one), which it removes at the end.
#
# Standard input, one parameter a line, ended by "end":
#   install DIR | data DIR | marker PATH-BELOW-DATA | name HOST | image REFERENCE | sysctl NAME
#   sudo yes            also try whether sudo works without a password
#   database HOST/PORT  also see whether a PostgreSQL server there takes TLS
#   container-dns yes   also resolve the names in a short-lived container of an image that is here
#
# Standard output: "@devplat begin 1", then for each probe "@devplat section NAME STATUS ARGUMENT"
# followed by its output (lines start with "|") and its complaints ("!"), then "@devplat end".
# All probes run at the same time, each with a limit of its own.
#
# One script, however long: nothing is installed on a host that is only examined, so the whole text
# goes to one shell of one connection, which has no second file to read from.
set -u
umask 077
LC_ALL=C
PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
RES_OPTIONS='timeout:3 attempts:2'
export LC_ALL PATH RES_OPTIONS
unset CDPATH DOCKER_CLI_HINTS 2>/dev/null

install='' data='' markers='' names='' images='' sysctls='' try_sudo='' container_dns='' database=''
while IFS=' ' read -r key value; do
  case $key in
    install) install=$value ;;
    data) data=$value ;;
    marker) markers="$markers $value" ;;
    name) names="$names $value" ;;
    image) images="$images $value" ;;
    sysctl) sysctls="$sysctls $value" ;;
    sudo) try_sudo=$value ;;
    container-dns) container_dns=$value ;;
    database) database=$value ;;
    end) break ;;
  esac
done
socket=/var/run/docker.sock
case ${DOCKER_HOST:-} in unix://*) socket=${DOCKER_HOST#unix://} ;; esac

now() {
  t=$(date +%s%N 2>/dev/null)
  case $t in '' | *[!0-9]*) date +%s ;; *) printf '%s\n' "$t" ;; esac
}

have() { command -v "$1" >/dev/null 2>&1; }

# within SECONDS COMMAND...: status 124 or 137 when the limit is reached
if timeout 5 true >/dev/null 2>&1; then
  within() { timeout "$@"; }
else
  within() {
    limit=$1
    shift
    "$@" &
    child=$!
    (
      sleep "$limit" &
      nap=$!
      trap 'kill "$nap"; exit' TERM
      wait "$nap"
      kill -9 "$child"
    ) >/dev/null 2>&1 &
    guard=$!
    wait "$child"
    result=$?
    kill "$guard" 2>/dev/null
    return "$result"
  }
fi

work=
# A probe that is still at work could make a file while its directory is being removed.
clean() {
  [ -z "$work" ] || rm -rf "$work" 2>/dev/null || { sleep 1; rm -rf "$work"; }
}
trap clean EXIT
trap 'exit 1' HUP INT TERM PIPE

for place in /dev/shm /run /tmp; do
  work=$(mktemp -d "$place/devplat-probe.XXXXXX" 2>/dev/null) || { work=; continue; }
  if (echo 1 >"$work/try") 2>/dev/null && [ -s "$work/try" ]; then break; fi
  rm -rf "$work"
  work=
done

header() { printf '\n@devplat section %s %s %s\n' "$1" "$2" "$3"; }
total=0
running=
# probe NAME ARGUMENT COMMAND...
probe() {
  total=$((total + 1))
  section=$1
  argument=$2
  shift 2
  if [ -z "$work" ]; then
    output=$("$@" 2>/dev/null </dev/null)
    header "$section" "$?" "$argument"
    printf '%s\n' "$output" | sed 's/^/|/'
    return
  fi
  printf '%s\n' "$section" >"$work/$total.section"
  printf '%s\n' "$argument" >"$work/$total.argument"
  {
    "$@" >"$work/$total.out" 2>"$work/$total.err"
    echo "$?" >"$work/$total.status"
  } </dev/null >/dev/null 2>&1 &
  running="$running $!"
}

# The server's answer to a request for TLS (PostgreSQL, 53.2.11): S or N; no login, and nothing else is sent.
p_database() {
  have bash || return 127
  # shellcheck disable=SC2016 # for the inner shell
  within 12 bash -c 'exec 3<>"/dev/tcp/$1/$2" && printf "\0\0\0\010\004\322\026\057" >&3 &&
    IFS= read -r -n 1 -t 8 answer <&3 && printf "%s\n" "$answer"' database "$1" "$2"
}
p_os() { cat /etc/os-release 2>/dev/null || cat /usr/lib/os-release; }
p_kernel() { uname -s && uname -r && uname -m; }
p_cpus() { getconf _NPROCESSORS_ONLN 2>/dev/null || nproc 2>/dev/null || grep -c '^processor' /proc/cpuinfo; }
p_memory() { grep -E '^(MemTotal|MemFree|MemAvailable|SwapTotal):' /proc/meminfo; }
p_cgroup() { if [ -f /sys/fs/cgroup/cgroup.controllers ]; then echo 2; else echo 1; fi; }
p_systemd() { [ -d /run/systemd/system ] && echo yes; }
p_mounts() { cat /proc/mounts; }
p_synchronised() {
  within 5 timedatectl show -p NTPSynchronized --value 2>/dev/null && return
  within 5 chronyc -n tracking 2>/dev/null
}
p_sysctls() {
  for setting in $sysctls; do
    file=/proc/sys/$(printf '%s' "$setting" | tr . /)
    [ ! -r "$file" ] || echo "$setting $(head -n 1 "$file")"
  done
}
p_confinement() {
  file=/sys/module/apparmor/parameters/enabled
  if [ -r "$file" ]; then echo "apparmor $(head -n 1 "$file")"; else echo "apparmor N"; fi
  if [ -r /sys/fs/selinux/enforce ]; then
    echo "selinux $(head -n 1 /sys/fs/selinux/enforce)"
  else
    echo "selinux off"
  fi
}
p_entropy() { cat /proc/sys/kernel/random/entropy_avail; }
p_boot() { [ -d /run/systemd/system ] && within 5 systemctl is-enabled docker.service 2>/dev/null; }
# Whoever filters; and how many rules the operator has where published ports pass.
p_firewall() {
  echo "looked yes"
  if grep -qs '^ENABLED=yes' /etc/ufw/ufw.conf; then echo "active ufw"; fi
  if [ -d /run/systemd/system ]; then
    for unit in firewalld nftables; do
      ! within 5 systemctl is-active --quiet "$unit" 2>/dev/null || echo "active $unit"
    done
  fi
  have iptables && rules=$(within 5 iptables -S DOCKER-USER 2>/dev/null) || return 0
  echo "user_rules $(printf '%s\n' "$rules" | grep '^-A' | grep -cv -- '-j RETURN$')"
}
p_updates() {
  if have apt-config; then
    unattended=no
    have unattended-upgrade && apt-config dump 2>/dev/null |
      grep -q '^APT::Periodic::Unattended-Upgrade "[1-9]' && unattended=yes
    held=no
    engine='docker-ce|docker\.io|containerd\.io|containerd|moby-engine'
    if within 10 apt-mark showhold 2>/dev/null | grep -Eqx "$engine" ||
      apt-config dump 2>/dev/null | grep -Eq '^Unattended-Upgrade::Package-Blacklist::.*(docker|containerd|moby)'; then
      held=yes
    fi
  elif [ -d /run/systemd/system ] && (have dnf || have yum); then
    unattended=no
    held=no
    for unit in dnf-automatic dnf-automatic-install yum-cron; do
      ! within 5 systemctl is-enabled --quiet "$unit.timer" 2>/dev/null || unattended=yes
    done
    ! grep -Eqs '^ *exclude(pkgs)? *=.*(docker|containerd|moby)' /etc/dnf/dnf.conf /etc/yum.conf || held=yes
  else
    return 1
  fi
  echo "unattended $unattended"
  echo "held $held"
}
p_resolvers() { grep '^nameserver' /etc/resolv.conf; }

ssh_client() {
  connection=${SSH_CONNECTION:-}
  at=$$
  while [ -z "$connection" ] && [ "${at:-1}" -gt 1 ]; do
    connection=$(tr '\0' '\n' <"/proc/$at/environ" | sed -n 's/^SSH_CONNECTION=//p')
    at=$(sed -n 's/^.*) [A-Za-z] \([0-9]*\) .*/\1/p' "/proc/$at/stat")
  done 2>/dev/null
  printf '%s\n' "$connection"
}
p_account() {
  echo "uid $(id -u)"
  echo "user $(id -un)"
  echo "groups $(id -Gn)"
  if [ -n "${SUDO_USER:-}" ]; then
    echo "login $SUDO_USER"
    echo "login_groups $(id -Gn "$SUDO_USER")"
  fi
  if ! have sudo; then
    echo "sudo absent"
  elif [ -z "$try_sudo" ]; then
    echo "sudo present"
  elif within 10 sudo -n true 2>/dev/null; then
    echo "sudo free"
  else
    echo "sudo refused"
  fi
  echo "client $(ssh_client)"
}

p_path() {
  path=$1
  at=$path
  while [ ! -e "$at" ] && [ "$at" != / ]; do
    at=${at%/*}
    [ -n "$at" ] || at=/
  done
  echo "path $path"
  echo "existing $at"
  if [ -d "$path" ]; then
    echo "kind directory"
  elif [ -e "$path" ] || [ -L "$path" ] || [ ! -d "$at" ]; then
    echo "kind other"
  else
    echo "kind absent"
  fi
  real=$(cd -P -- "$at" 2>/dev/null && pwd -P) || real=$at
  echo "real $real"
  if [ -w "$at" ]; then echo "writable yes"; else echo "writable no"; fi
  stat -c 'owner %u %g %a' -- "$at"
  within 5 stat -f -c 'space %S %b %a %c %d %T' -- "$at" || within 5 df -Pk -- "$at"
}
p_entries() { ls -A -- "$1" | head -n 100; }
p_data() {
  cd -- "$data" || return
  within 10 find . -mindepth 2 -maxdepth 2 -type d 2>/dev/null | head -n 300 | while IFS= read -r directory; do
    if [ -n "$(ls -A -- "$directory" | head -n 1)" ]; then
      echo "filled ${directory#./}"
    else
      echo "empty ${directory#./}"
    fi
  done
  for marker in $markers; do [ ! -e "$marker" ] || echo "marker $marker"; done
}
p_installation() {
  [ ! -L "$install/current" ] || echo "current $(readlink "$install/current")"
  for entry in "$install"/releases/*; do [ ! -d "$entry" ] || echo "release ${entry##*/}"; done
  for entry in "$install"/state/*; do [ ! -e "$entry" ] || echo "state ${entry##*/}"; done
}
p_lock() { [ ! -f "$install/state/lock" ] || head -c 4096 "$install/state/lock"; }

p_client() {
  for tool in docker dockerd docker-compose; do
    ! have "$tool" || echo "$tool $(command -v "$tool")"
  done
  [ ! -S "$socket" ] || stat -L -c 'socket %a %U %G %g' "$socket"
  if [ -S "$socket" ]; then
    if [ -w "$socket" ]; then echo "reach yes"; else echo "reach no"; fi
  fi
  [ ! -f /etc/docker/daemon.json ] || stat -c 'config %a %U %G' /etc/docker/daemon.json
  for comm in /proc/[0-9]*/comm; do
    read -r program <"$comm" || continue
    [ "$program" = dockerd ] || continue
    process=${comm%/comm}
    echo "process ${process#/proc/}"
    tr '\0' '\n' <"$process/cmdline" | sed 's#://[^/@" ]*@#://#g; s/^/argument /'
  done 2>/dev/null
  (within 5 getent group docker || grep '^docker:' /etc/group) 2>/dev/null | sed 's/^/group /'
}
p_config() { [ ! -f /etc/docker/daemon.json ] || sed 's#://[^/@" ]*@#://#g' /etc/docker/daemon.json; }
p_version() { within 15 docker version --format '{{json .}}'; }
p_info() { within 20 docker info --format '{{json .}}'; }
p_compose() { within 15 docker compose version --short; }
p_legacy() { ! have docker-compose || within 15 docker-compose version --short; }
p_networks() {
  ids=$(within 15 docker network ls -q --no-trunc) || return
  [ -z "$ids" ] || within 15 docker network inspect --format \
    '{"name":{{json .Name}},"ipam":{{json .IPAM.Config}},"labels":{{json .Labels}},"options":{{json .Options}}}' $ids
}
p_containers() {
  ids=$(within 15 docker ps -aq --no-trunc) || return
  [ -z "$ids" ] || within 20 docker inspect --type container --format \
    '{"name":{{json .Name}},"status":{{json .State.Status}},"labels":{{json .Config.Labels}},"ports":{{json .HostConfig.PortBindings}}}' $ids
}
p_engine_path() {
  root=$(within 20 docker info --format '{{.DockerRootDir}}' 2>/dev/null) || root=
  case $root in /*) p_path "$root" ;; *) return 1 ;; esac
}
# By the engine where that can be asked (it knows its proxies, mirrors and authorities), else by
# the command line client.
p_image() {
  if found=$(within 15 docker image inspect --format '{{.Os}} {{.Architecture}}' "$1" 2>/dev/null); then
    echo "present $found"
  elif have curl && [ -w "$socket" ]; then
    echo "engine"
    within 25 curl -sS --noproxy '*' --max-time 22 --unix-socket "$socket" \
      -w '\nstatus %{http_code}\n' "http://localhost/distribution/$1/json"
  else
    echo "client"
    within 25 docker manifest inspect "$1" >/dev/null
  fi
}
p_container_dns() {
  for image in $images; do
    within 10 docker image inspect "$image" >/dev/null 2>&1 || continue
    echo "image $image"
    # all names at once: a resolver that does not answer costs its time-out only once
    within 15 docker run --rm --pull never --network bridge --read-only --cap-drop ALL \
      --security-opt no-new-privileges --memory 64m --pids-limit 64 --log-driver none \
      --env RES_OPTIONS='timeout:3 attempts:2' --entrypoint sh "$image" -c \
      'command -v getent >/dev/null || exit 127; for n; do getent hosts "$n" & done; wait' sh $names && return
    result=$?
    [ "$result" -eq 125 ] || [ "$result" -eq 126 ] || [ "$result" -eq 127 ] || return "$result"
  done
  return 127
}

# The kernel's own tables serve where the tools are missing.
p_listeners() { ss -ltnp; }
p_proc_listeners() { have ss || grep -h ' 0A ' /proc/net/tcp /proc/net/tcp6; }
p_addresses() { ip -o addr show; }
p_routes() { ip route show table all 2>/dev/null || ip route show; }
p_proc_addresses() { have ip || cat /proc/net/fib_trie /proc/net/if_inet6; }
p_proc_routes() { have ip || cat /proc/net/route; }
p_name() {
  if have getent; then
    within 12 getent ahosts "$1"
  elif have nslookup; then
    within 12 nslookup "$1"
  else
    return 127
  fi
}

printf '\n@devplat begin 1\n|%s\n' "$(now)"
probe os '' p_os
probe kernel '' p_kernel
probe cpus '' p_cpus
probe memory '' p_memory
probe cgroup '' p_cgroup
probe systemd '' p_systemd
probe mounts '' p_mounts
probe synchronised '' p_synchronised
probe resolvers '' p_resolvers
probe sysctls '' p_sysctls
probe confinement '' p_confinement
probe entropy '' p_entropy
probe boot '' p_boot
probe firewall '' p_firewall
probe updates '' p_updates
probe account '' p_account
probe listeners '' p_listeners
probe proc-listeners '' p_proc_listeners
probe addresses '' p_addresses
probe routes '' p_routes
probe proc-addresses '' p_proc_addresses
probe proc-routes '' p_proc_routes
probe client '' p_client
probe config '' p_config
if [ -n "$install" ]; then
  probe path install p_path "$install"
  probe entries install p_entries "$install"
  probe installation '' p_installation
  probe lock '' p_lock
fi
if [ -n "$data" ]; then
  probe path data p_path "$data"
  probe entries data p_entries "$data"
  probe data '' p_data
fi
for name in $names; do probe name "$name" p_name "$name"; done
if [ -n "$database" ]; then probe database '' p_database "${database%/*}" "${database##*/}"; fi
if have docker; then
  probe version '' p_version
  probe info '' p_info
  probe compose '' p_compose
  probe networks '' p_networks
  probe containers '' p_containers
  probe path engine p_engine_path
  for image in $images; do probe image "$image" p_image "$image"; done
  if [ -n "$container_dns" ] && [ -n "$names" ]; then probe container-dns '' p_container_dns; fi
fi
probe legacy '' p_legacy

late=
trap 'late=1' USR1
(
  sleep 45 &
  nap=$!
  trap 'kill "$nap"; exit' TERM
  wait "$nap"
  kill -USR1 $$
) >/dev/null 2>&1 </dev/null &
guard=$!
for pid in $running; do [ -n "$late" ] || wait "$pid"; done
kill "$guard" 2>/dev/null

index=0
while [ -n "$work" ] && [ "$index" -lt "$total" ]; do
  index=$((index + 1))
  status=late
  [ ! -s "$work/$index.status" ] || read -r status <"$work/$index.status"
  read -r section <"$work/$index.section"
  read -r argument <"$work/$index.argument"
  header "$section" "$status" "$argument"
  head -c 524288 "$work/$index.out" | sed 's/^/|/'
  printf '\n'
  head -c 2000 "$work/$index.err" | sed 's#://[^/@" ]*@#://#g; s/^/!/'
done
printf '\n@devplat end\n|%s\n' "$(now)"
