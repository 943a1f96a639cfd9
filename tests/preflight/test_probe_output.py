"""The parsers on recorded output of several systems, on noise, and on missing tools."""

from __future__ import annotations

import re

import pytest

from installer.core.errors import PreflightError
from installer.core.facts import PathKind
from installer.core.facts_parse import parse_os_release
from installer.core.probe import format_parameters, read_output
from tests.preflight.reading import parse

SYSTEMS = ("debian-12", "debian-13", "ubuntu-24.04", "rhel-9", "busybox")


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
