"""How a host is kept, read from the probe's output; and the probe's own look at stand-in tools."""

from __future__ import annotations

import pytest

from installer.core.facts_host import (
    EngineConfig,
    Firewall,
    Updates,
    parse_config,
    parse_upkeep,
)
from installer.core.probe import ProbeOutput, Section
from tests.preflight.looking import environment, look, parameters, tools


def output(**sections):
    return ProbeOutput(
        {(name, ""): Section(name, lines=tuple(lines)) for name, lines in sections.items()}
    )


def test_a_host_that_tells_nothing_gives_nothing():
    found = parse_upkeep(output())
    assert (found.firewall, found.updates, found.entropy) == (None, None, None)
    assert (found.engine_at_boot, found.apparmor, found.sysctls) == (None, None, {})
    assert found.config == EngineConfig()


def test_each_section_is_read():
    found = parse_upkeep(
        output(
            sysctls=["vm.overcommit_memory 1", "kernel.core_pattern |/usr/bin/x", "fs.nr_open -1"],
            confinement=["apparmor Y", "selinux off"],
            entropy=["256"],
            boot=["disabled"],
            firewall=["looked yes", "active ufw", "active nftables", "user_rules 2"],
            updates=["unattended yes", "held no"],
        )
    )
    assert found.sysctls == {"vm.overcommit_memory": 1, "fs.nr_open": -1}
    assert (found.apparmor, found.selinux, found.entropy) == (True, "disabled", 256)
    assert found.engine_at_boot is False
    assert found.firewall == Firewall(("ufw", "nftables"), 2)
    assert found.updates == Updates(unattended=True, engine_held=False)


@pytest.mark.parametrize(
    ("word", "at_boot"),
    [("enabled", True), ("static", True), ("disabled", False), ("masked", False), ("odd", None)],
)
def test_a_service_that_is_started_by_others_only_does_not_start_by_itself(word, at_boot):
    assert parse_upkeep(output(boot=[word])).engine_at_boot is at_boot


def test_of_the_engine_s_file_only_known_keys_are_kept():
    """A proxy or a log driver's token may be in it."""
    text = (
        '{"icc": false, "proxies": {"http-proxy": "http://u:p@x"}, "log-driver": "splunk",'
        ' "log-opts": {"splunk-token": "s3cret", "max-size": "1m"}}'
    )
    found = parse_config(text, ("--live-restore", "--log-opt=max-file=3", "-H", "fd://"))
    assert found.settings == {
        "icc": False,
        "log-driver": "splunk",
        "log-opts": {"max-size": "1m"},
    }
    assert found.flags == {"live-restore", "log-opt"}
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"icc": false,\n}', "line 2"),
        ("[]", "object"),
        ("icc: false", "JSON"),
        ("'a'", "JSON"),
    ],
)
def test_a_file_that_is_none_has_a_fault_that_says_where(text, said):
    found = parse_config(text, ())
    assert said in found.fault
    assert found.settings == {}


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_file_is_an_empty_configuration(text):
    assert parse_config(text, ()).fault is None


def test_the_probe_asks_the_tools_of_the_host(probe_script, host_tree):
    directory = tools(
        host_tree,
        iptables='[ "$*" = "-S DOCKER-USER" ] && printf "%s\\n" "-N DOCKER-USER"'
        ' "-A DOCKER-USER -s 10.0.0.0/8 -j ACCEPT" "-A DOCKER-USER -j DROP"'
        ' "-A DOCKER-USER -j RETURN"',
        apt_config="""echo 'APT::Periodic::Unattended-Upgrade "1";'""",
        unattended_upgrade="exit 0",
        apt_mark="echo docker-ce",
    )
    wanted = parameters(host_tree, ("sysctl", "kernel.pid_max"), ("sysctl", "kernel.no_such"))
    _, facts = look(probe_script, wanted, env=environment(host_tree, directory))
    found = facts.upkeep
    assert found.firewall.user_rules == 2
    assert found.updates == Updates(unattended=True, engine_held=True)
    assert found.sysctls["kernel.pid_max"] > 1000
    assert "kernel.no_such" not in found.sysctls
    assert found.entropy is not None


def test_what_is_not_held_back_is_upgraded(probe_script, host_tree):
    directory = tools(
        host_tree,
        apt_config="""echo 'APT::Periodic::Unattended-Upgrade "1";'""",
        unattended_upgrade="exit 0",
        apt_mark="echo docker-compose-plugin",
    )
    _, facts = look(probe_script, parameters(host_tree), env=environment(host_tree, directory))
    assert facts.upkeep.updates == Updates(unattended=True, engine_held=False)
