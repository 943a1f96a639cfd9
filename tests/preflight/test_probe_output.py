"""The parsers on recorded output of several systems, on noise, and on missing tools."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from installer.core.errors import PreflightError
from installer.core.facts import EngineState, ImageState, Listener, PathKind, RouteFacts
from installer.core.facts_network import parse_listeners, parse_names
from installer.core.facts_parse import parse_facts, parse_os_release
from installer.core.probe import Section, format_parameters, read_output

SENT = datetime.fromtimestamp(1795000000, UTC)
RECEIVED = datetime.fromtimestamp(1795000002, UTC)
SYSTEMS = ("debian-12", "debian-13", "ubuntu-24.04", "rhel-9", "busybox")


def parse(text: str):
    return parse_facts(text, "target", sent=SENT, received=RECEIVED)


@pytest.fixture
def ubuntu(recorded):
    return parse(recorded("ubuntu-24.04"))


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_recorded_system_is_understood(recorded, system):
    facts = parse(recorded(system))
    assert facts.kernel == "Linux"
    assert facts.cpus and facts.memory and facts.memory.total_mib > 1000
    assert facts.clock is not None
    assert set(facts.paths) >= {"install", "data"}
    assert all(path.available and path.available > 0 for path in facts.paths.values())
    assert facts.network.addresses and facts.network.routes and facts.network.listeners


@pytest.mark.parametrize(
    ("system", "distribution", "version", "engine", "compose"),
    [
        ("debian-12", "debian", "12", "20.10.24+dfsg1", None),
        ("debian-13", "debian", "13", "26.1.5+dfsg1", "2.26.1-4"),
        ("ubuntu-24.04", "ubuntu", "24.04", "28.0.1", "2.33.1"),
        ("rhel-9", "rhel", "9.4", None, None),
        ("busybox", "linux", "", None, None),
    ],
)
def test_versions_are_read(recorded, system, distribution, version, engine, compose):
    facts = parse(recorded(system))
    assert (facts.os.id, facts.os.version) == (distribution, version)
    assert (facts.engine.version, facts.engine.compose) == (engine, compose)


@pytest.mark.parametrize("system", SYSTEMS)
def test_noise_around_and_between_sections_changes_nothing_f_015(recorded, system):
    """F-015: banners, colours, carriage returns and half lines of a login shell."""
    clean = recorded(system)
    noisy = "\x1b[31mWELCOME\x1b[0m\nLast login: Mon\n@devplat is nice\nno line end" + clean
    noisy = re.sub(r"(?m)^$", "\x1b[0m** 3 updates available **", noisy) + "logout\n"
    assert parse(noisy) == parse(clean)
    assert parse(clean.replace("\n", "\r\n")) == parse(clean)


def test_content_that_looks_like_a_section_is_content(recorded):
    text = recorded("debian-13").replace(
        "|ID=debian", "|@devplat section kernel 0 \n||Plan9\n|@devplat end\n|ID=debian"
    )
    assert parse(text).kernel == "Linux"
    assert parse(text).os.id == "debian"


@pytest.mark.parametrize("cut", ["", "bash: command not found\n", "@devplat begin 1\n|1\n"])
def test_a_script_that_did_not_end_is_an_error_that_shows_its_last_lines(cut):
    with pytest.raises(PreflightError) as caught:
        read_output(cut, "target.example")
    problem = caught.value.problems[0]
    assert problem.code == "probe.unreadable"
    assert "target.example" in problem.summary


def test_another_protocol_is_refused(recorded):
    with pytest.raises(PreflightError):
        parse(recorded("debian-13").replace("@devplat begin 1", "@devplat begin 2"))


def test_a_cut_in_the_middle_is_an_error_wherever_it_is(recorded):
    text = recorded("ubuntu-24.04")
    for at in range(0, text.rindex("@devplat end"), 997):
        with pytest.raises(PreflightError):
            parse(text[:at])


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_probe_may_be_missing(recorded, system):
    """No tool and no file is taken for granted: without any one section there are still facts."""
    text = recorded(system)
    sections = re.findall(r"(?ms)^@devplat section .*?(?=^@devplat )", text)
    assert len(sections) > 15
    for section in sections:
        assert parse(text.replace(section, "")).kernel in ("Linux", "")
        emptied = section.splitlines()[0].replace(" 0 ", " 127 ", 1) + "\n"
        assert parse(text.replace(section, emptied)).kernel in ("Linux", "")


def test_the_clock_is_measured_from_four_time_stamps(ubuntu):
    # host: .5 to 1.5; here: 0 to 2, so that both ways took half a second
    assert ubuntu.clock.skew_s == pytest.approx(0.0)
    assert ubuntu.clock.uncertainty_s == pytest.approx(0.5)
    assert ubuntu.clock.synchronised is True


@pytest.mark.parametrize(("ahead", "host"), [(600, 1795000600), (-31536000, 1763464000)])
def test_a_wrong_clock_is_measured_f_023(recorded, ahead, host):
    """F-023: ten minutes ahead, a year behind."""
    text = recorded("ubuntu-24.04")
    text = text.replace("1795000000500000000", f"{host}500000000")
    text = text.replace("1795000001500000000", f"{host + 1}500000000")
    assert parse(text).clock.skew_s == pytest.approx(ahead)


def test_a_clock_without_fractions_is_less_certain(recorded):
    clock = parse(recorded("busybox")).clock
    assert clock.uncertainty_s >= 0.5


@pytest.mark.parametrize(
    ("text", "synchronised"),
    [("|yes", True), ("|no", False), ("|Leap status     : Not synchronised", False), ("", None)],
)
def test_what_the_time_service_says_is_read(recorded, text, synchronised):
    changed = recorded("ubuntu-24.04").replace("synchronised 0 \n|yes", f"synchronised 0 \n{text}")
    assert parse(changed).clock.synchronised is synchronised


def test_the_account_behind_sudo_and_where_it_comes_from_are_known(ubuntu):
    account = ubuntu.account
    assert (account.uid, account.login, account.client) == (0, "ops", "198.51.100.7")
    assert "docker" in account.login_groups


def test_paths_know_their_file_system(ubuntu):
    install, data, engine = (ubuntu.paths[key] for key in ("install", "data", "engine"))
    assert (install.mount, install.fs_type, install.read_only) == ("/", "ext4", False)
    assert install.available == 4096 * 12_800_000
    assert install.entries == ("current", "releases", "secrets", "state")
    assert (data.path, data.mount, data.read_only) == ("/srv/dev data", "/srv/dev data", True)
    assert (data.inodes, data.writable) == (0, False)
    assert (engine.mount, engine.device) == ("/var/lib/docker", "/dev/sdb1")
    assert install.file_system != engine.file_system


def test_space_is_read_from_df_where_stat_cannot(recorded):
    text = re.sub(
        r"(?m)^\|space 4096 25600000 12800000 6553600 6000000 .*$",
        "|Filesystem 1024-blocks Used Available Capacity Mounted on\n"
        "|/dev/sda1 1000000 400000 600000 40% /",
        recorded("ubuntu-24.04"),
    )
    path = parse(text).paths["install"]
    assert (path.available, path.inodes) == (600000 * 1024, None)


def test_an_absent_directory_is_told_from_something_else(recorded):
    text = recorded("debian-13")
    assert parse(text).paths["install"].kind is PathKind.ABSENT
    changed = text.replace("|existing /opt\n|kind absent", "|existing /opt\n|kind other")
    assert parse(changed).paths["install"].kind is PathKind.OTHER


def test_addresses_leave_out_loopback_and_link_local(ubuntu):
    assert ubuntu.network.addresses == ("192.0.2.10", "2001:db8::10", "10.8.0.2")


def test_routes_are_those_of_every_table_but_the_default(ubuntu):
    assert set(ubuntu.network.routes) == {
        RouteFacts("10.8.0.0/16", "wg0"),
        RouteFacts("172.18.0.0/16", "br-1a2b"),
        RouteFacts("192.0.2.0/24", "ens18"),
        RouteFacts("172.30.5.0/24", "wg0"),
        RouteFacts("10.66.0.0/24", ""),
    }


def test_listeners_of_both_families_come_with_their_process(ubuntu):
    assert ubuntu.network.listeners == (
        Listener("127.0.0.53", 53, "systemd-resolve (pid 711)"),
        Listener("*", 80, "docker-proxy (pid 2411)"),
        Listener("*", 8080, "nginx (pid 900), nginx (pid 901)"),
        Listener("*", 443, "caddy (pid 950)"),
    )


def test_listeners_are_read_from_the_kernel_where_ss_is_missing():
    proc = Section(
        "proc-listeners",
        lines=(
            "  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 0 0 0 1 1 1",
            "  1: 0A0200C0:01BB 00000000:0000 0A 00000000:00000000 00:00000000 0 0 0 1 1 1",
            "  2: 0A0200C0:0016 0A0200C0:C000 01 00000000:00000000 00:00000000 0 0 0 1 1 1",
            "  0: 00000000000000000000000000000000:0050 " + "0" * 32 + ":0000 0A 0 0 0 0 0 1",
            "  1: B80D0120000000000000000010000000:01BB " + "0" * 32 + ":0000 0A 0 0 0 0 0 1",
        ),
    )
    assert parse_listeners(Section("listeners", status=127), proc) == (
        Listener("127.0.0.1", 8080),
        Listener("192.0.2.10", 443),
        Listener("*", 80),
        Listener("2001:db8::10", 443),
    )


def test_without_ss_and_proc_listeners_are_unknown():
    empty = Section("proc-listeners", status=1)
    assert parse_listeners(Section("listeners", status=127), empty) is None


def test_busybox_without_ss_or_ip_is_read_from_the_kernel(recorded):
    text = recorded("busybox")
    assert "fib_trie" not in text
    assert "Main:" in text  # the recording has the kernel's own table
    network = parse(text).network
    assert "192.0.2.2" in network.addresses
    assert RouteFacts("192.0.2.0/24", "eth0") in network.routes


def test_names_are_read_once_each(ubuntu):
    assert ubuntu.dns.host == {
        "coder.company.com": ("192.0.2.10", "2001:db8::10"),
        "git.company.com": (),
        "slow.company.com": None,
    }


@pytest.mark.parametrize(
    ("lines", "addresses"),
    [
        (
            (
                "Server:\t10.0.0.1",
                "Address:\t10.0.0.1:53",
                "",
                "Name:\tx",
                "Address: 192.0.2.1",
                "Name:\tx",
                "Address: 2001:db8::1",
            ),
            ("192.0.2.1", "2001:db8::1"),
        ),
        (
            (
                "Server:    10.0.0.1",
                "Address 1: 10.0.0.1 dns",
                "",
                "Name:      x",
                "Address 1: 192.0.2.1 x",
            ),
            ("192.0.2.1",),
        ),
        (("Server:\t10.0.0.1", "Address:\t10.0.0.1:53", "** server can't find x: NXDOMAIN"), ()),
        (("::ffff:192.0.2.9 STREAM x", "fe80::1%eth0 STREAM"), ("192.0.2.9", "fe80::1")),
    ],
)
def test_resolvers_of_all_kinds_are_read(lines, addresses):
    assert parse_names([Section("name", "x", 0, lines)]) == {"x": addresses}


@pytest.mark.parametrize("status", [None, 127])
def test_a_name_that_could_not_be_asked_for_is_unknown(status):
    assert parse_names([Section("name", "x", status)]) == {"x": None}


def test_names_inside_a_container_are_read_by_alias(ubuntu):
    assert ubuntu.dns.container["coder.company.com"] == ("192.0.2.10",)
    assert ubuntu.dns.container["git.company.com"] == ()


def test_what_the_engine_says_is_taken_over(ubuntu):
    engine = ubuntu.engine
    assert engine.state is EngineState.RUNNING
    assert (engine.live_restore, engine.userland_proxy, engine.log_bounded) == (True, False, True)
    assert engine.insecure_registries == ("10.9.0.0/16", "lab.example:5000")
    assert (engine.mirrors, engine.proxied) == (("https://mirror.example/",), True)
    assert (engine.members, ubuntu.engine_gid) == (("ops", "deploy"), 988)
    assert engine.networks[1].project == "devplat"
    assert engine.networks[2].subnets == ("172.18.0.0/16", "fd00:1::/64")
    assert [c.name for c in engine.containers] == ["devplat-edge-1", "shop-web-1", "old"]
    assert engine.containers[1].ports == (("", 80),)


def test_credentials_of_a_proxy_are_not_in_the_facts(ubuntu, recorded):
    assert "hunter2" in recorded("ubuntu-24.04")
    assert "hunter2" not in repr(ubuntu)


def test_credentials_in_a_complaint_are_cut_out():
    section = Section("info", complaints=("proxyconnect to http://u:hunter2@proxy:3128 failed",))
    assert section.complaint == "proxyconnect to http://proxy:3128 failed"


@pytest.mark.parametrize(
    ("reference", "state"),
    [
        ("postgres:17", ImageState.PRESENT),
        ("ghcr.io/coder/coder:v2.20.0", ImageState.AVAILABLE),
        ("private.example/app:1", ImageState.DENIED),
        ("busy.example/app:1", ImageState.LIMITED),
        ("gone.example/app:1", ImageState.ABSENT),
        ("hung.example/app:1", ImageState.UNKNOWN),
    ],
)
def test_what_is_known_of_images_is_told_apart(ubuntu, reference, state):
    assert ubuntu.images[reference].state is state


@pytest.mark.parametrize(
    ("message", "state"),
    [
        ("dial tcp: lookup ghcr.io on 10.0.0.1:53: no such host", ImageState.UNREACHABLE),
        ("net/http: TLS handshake timeout", ImageState.UNREACHABLE),
        ("x509: certificate signed by unknown authority", ImageState.UNREACHABLE),
        ("pull access denied for x, repository does not exist", ImageState.DENIED),
        ("something new", ImageState.UNKNOWN),
    ],
)
def test_messages_of_registries_are_told_apart(recorded, message, state):
    text = recorded("ubuntu-24.04").replace("manifest unknown: manifest unknown", message)
    assert parse(text).images["gone.example/app:1"].state is state


def test_an_installation_is_recognised(ubuntu):
    found = ubuntu.installation
    assert (found.current, found.releases) == ("releases/3f2a", ("3f2a", "9b1c"))
    assert found.state_files == ("journal.json", "lock")
    assert '"pid": 4711' in found.lock
    assert found.data == {"postgres/data": True, "redis/data": False}
    assert found.markers == ("postgres/data/PG_VERSION",)
    assert found.secrets_on_tmpfs and found.found


def test_an_empty_host_has_no_installation(recorded):
    found = parse(recorded("debian-13")).installation
    assert not found.found and found.lock is None and not found.secrets_on_tmpfs


def test_probes_that_did_not_end_are_named(ubuntu):
    assert ubuntu.unfinished == ("name slow.company.com", "image hung.example/app:1")


ENGINE_CASES = {
    "absent": ([], ("|docker /usr/bin/docker\n", ""), EngineState.ABSENT),
    "only the client": (["|dockerd", "|socket", "|process", "|reach"], None, EngineState.ABSENT),
    "stopped": (["|socket", "|process", "|reach"], None, EngineState.STOPPED),
    "stale socket": (["|process"], None, EngineState.STOPPED),
    "forbidden": ([], ("|reach yes", "|reach no"), EngineState.DENIED),
}


@pytest.mark.parametrize("case", ENGINE_CASES)
def test_reasons_why_the_engine_cannot_be_used_are_told_apart_f_026(recorded, case):
    """F-026: stopped, absent, no permission on the socket."""
    dropped, replaced, state = ENGINE_CASES[case]
    text = re.sub(
        r'(?m)^\|\{"ID":.*$',
        '|{"ServerVersion":"","ServerErrors":["Cannot connect to the Docker daemon"]}',
        recorded("ubuntu-24.04"),
    )
    for prefix in dropped:
        text = re.sub(rf"(?m)^{re.escape(prefix)} .*\n", "", text)
    if replaced:
        text = text.replace(*replaced)
    assert parse(text).engine.state is state


def test_podman_behind_the_docker_command_is_recognised(recorded):
    assert parse(recorded("rhel-9")).engine.state is EngineState.FOREIGN


def test_an_engine_that_does_not_answer_is_recognised(recorded):
    text = re.sub(r'(?m)^\|\{"ID":.*\n', "", recorded("ubuntu-24.04"))
    text = text.replace("section info 0 ", "section info 124 ")
    assert parse(text).engine.state is EngineState.SILENT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('ID="rocky"\nVERSION_ID="9"\nID_LIKE="rhel fedora"', ("rocky", "9")),
        ("# comment\nID=alpine\nVERSION_ID=3.20.1\n\nnonsense", ("alpine", "3.20.1")),
        ("ID='arch'\nVERSION_ID=", ("arch", "")),
        ('ID=odd\nVERSION_ID="unclosed', ("odd", '"unclosed')),
        ("", ("linux", "")),
    ],
)
def test_os_release_is_read_as_the_shell_would(text, expected):
    release = parse_os_release(text)
    assert (release.id, release.version) == expected


@pytest.mark.parametrize(
    ("key", "value"),
    [("name", "a\nend"), ("install", "/opt/x\ny"), ("name", "a b"), ("image", "a\tb")],
)
def test_a_parameter_that_would_be_read_otherwise_is_refused(key, value):
    with pytest.raises(ValueError, match="not a parameter"):
        format_parameters([(key, value)])


def test_directories_may_have_spaces():
    assert format_parameters([("data", "/srv/dev data")]) == b"data /srv/dev data\nend\n"
