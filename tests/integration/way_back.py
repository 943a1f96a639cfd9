"""A changed release, the way back, the way out with the data kept, and in again; on a real engine.

Rides on the install of test_unattended.py, whose last tests call these in order.
"""

from __future__ import annotations

import tarfile

from tests.integration.operator import Operator
from tests.testbed.hosts import Host

STRANGER = "their-database"


def active(host: Host) -> str:
    return host.ssh("sudo readlink /opt/devplat/current").strip().rpartition("/")[2]


def started(host: Host) -> dict[str, str]:
    """Container → when it was started."""
    template = "{{.Name}} {{.State.StartedAt}}"
    lines = host.ssh(f"docker inspect -f '{template}' $(docker ps -q)").splitlines()
    return dict(line.split() for line in lines)


def secrets_of(host: Host) -> str:
    return host.ssh("sudo find /opt/devplat/secrets -type f -exec sha256sum {} + | sort")


def go_back(operator: Operator, host: Host) -> set[str]:
    """F-085: the previous bundle runs with the secrets it needs; the history shows both.

    Returns the containers that were started anew on the way back.
    """
    first, before = active(host), secrets_of(host)
    kept = dict(operator.answers)
    operator.answers["sizing"] = {"gitea_memory": "1200M"}
    changed = operator.install()
    assert changed.returncode == 0, changed.stderr
    second, running = active(host), started(host)
    assert second != first
    operator.answers.clear()
    operator.answers.update(kept)
    refused = operator.run("rollback", "--unattended")
    assert refused.returncode == 24, refused.stderr
    assert f"back to release {first}" in refused.stdout
    assert "~ service gitea is recreated" in refused.stdout
    assert (active(host), started(host)) == (second, running), "a plan changed something"
    done = operator.run("rollback", "--unattended", "--yes")
    assert done.returncode == 0, done.stderr
    assert active(host) == first
    assert secrets_of(host) == before
    after = started(host)
    again = operator.run("rollback", "--unattended", "--yes")
    assert again.returncode == 0, again.stderr
    assert (active(host), started(host)) == (first, after), "asked again, it went further back"
    listed = operator.run("rollback", "--list").stdout
    assert listed.index(f"* {first}") < listed.index(f"  {second}")
    assert "rollback" in listed.splitlines()[0]
    return {name for name in running if running[name] != after.get(name)}


def ask_for_help(operator: Operator) -> dict[str, bytes]:
    """The files of a support bundle, by their paths in it."""
    target = operator.folder / "help.tar.gz"
    done = operator.run("support-bundle", "--output", str(target))
    assert done.returncode == 0, done.stderr
    with tarfile.open(target) as archive:
        return {m.name.partition("/")[2]: archive.extractfile(m).read() for m in archive}


def leave_and_return(operator: Operator, host: Host) -> str:
    """Invariants 3 and 4: what is not ours is untouched, kept data works with the same secrets.

    Returns the data directories that were there between the two.
    """
    first, before = active(host), secrets_of(host)
    image = "$(docker inspect -f '{{.Image}}' trial-traefik-1)"
    host.ssh(
        f"docker network create {STRANGER}-net >/dev/null;"
        f" docker run -d --name {STRANGER} --network {STRANGER}-net --entrypoint sleep {image} 600"
    )
    stranger = started(host)[f"/{STRANGER}"]
    shown = operator.run("uninstall", "--unattended")
    assert shown.returncode == 24, shown.stderr
    assert "- container trial-gitea-1" in shown.stdout
    assert STRANGER not in shown.stdout
    done = operator.run("uninstall", "--unattended", "--yes", "--keep-data")
    assert done.returncode == 0, done.stderr
    assert "secrets.store" in done.stdout
    assert started(host) == {f"/{STRANGER}": stranger}
    assert host.ssh("docker ps -aq | wc -l").strip() == "1"
    names = set(host.ssh("docker network ls --format {{.Name}}").split())
    assert names == {"bridge", "host", "none", f"{STRANGER}-net"}
    assert host.ssh("docker volume ls -q").strip() == ""
    assert host.ssh("sudo ls -A /opt/devplat").split() == ["compose.override.yaml"]
    data = listing(host)
    nothing = operator.run("uninstall", "--unattended", "--yes")
    assert (nothing.returncode, "nothing of trial" in nothing.stdout) == (0, True)
    again = operator.install()
    assert again.returncode == 0, again.stderr
    assert (active(host), secrets_of(host)) == (first, before)
    assert started(host)[f"/{STRANGER}"] == stranger
    return data


def listing(host: Host) -> str:
    """Which data directories there are, and whose."""
    return host.ssh(
        "sudo find /var/lib/devplat -mindepth 1 -maxdepth 2 -printf '%p %u %m\\n' | sort"
    )
