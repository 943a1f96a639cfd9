#!/bin/sh
# A target host in a container: sshd and an engine of its own. /lab (read-only) brings authorized_keys,
# ca.crt, runc-clamp and hosts/<host name>/ssh_host_ed25519_key.
set -eu
name=$(hostname)
for mount in /sys /sys/fs/cgroup /sys/fs/cgroup/*; do
  mount -o remount,bind,rw "$mount" 2>/dev/null || true
done
mount --make-rshared / # as systemd does on a real host
install -m 755 /lab/runc-clamp /usr/local/bin/runc-clamp
if ! id ops >/dev/null 2>&1; then
  useradd -m -s /bin/bash -G sudo,docker ops
  echo 'ops ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/ops
  cat /lab/ca.crt >>/etc/ssl/certs/ca-certificates.crt
fi
install -d -m 700 -o ops -g ops /home/ops/.ssh
install -m 600 -o ops -g ops /lab/authorized_keys /home/ops/.ssh/authorized_keys
rm -f /etc/ssh/ssh_host_*
install -m 600 "/lab/hosts/$name/ssh_host_ed25519_key" /etc/ssh/
mkdir -p /run/sshd /run/lock /etc/docker
rm -f /run/docker.pid /run/docker/containerd/containerd.pid
[ -e /etc/docker/daemon.json ] || printf \
  '{"runtimes": {"clamp": {"path": "/usr/local/bin/runc-clamp"}}, "default-runtime": "clamp"%s}\n' \
  "${RESOLVER:+, \"dns\": [\"$RESOLVER\"]}" >/etc/docker/daemon.json
/usr/sbin/sshd -E /var/log/sshd.log -o PasswordAuthentication=no -o PermitRootLogin=no -o UseDNS=no
dockerd >>/var/log/dockerd.log 2>&1 &
# not the engine but an init is pid 1: a test can stop and start the engine as on a real host
exec tini -- sleep infinity
