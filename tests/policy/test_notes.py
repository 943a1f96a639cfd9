"""What the notes of the assertions say: equal forms, host features, settings."""

from __future__ import annotations

from typing import Any

import pytest

from installer.core.errors import StackError
from installer.core.events import Outcome
from installer.core.policy import (
    NOT_OFFERED,
    audit_compose,
    audit_inspect,
    audit_processes,
    parse_hardening,
)
from installer.core.policy.exposure import exposes_secret
from tests.policy.builders import (
    DATA_DIR,
    INSTALL_DIR,
    audit_context,
    image_of,
    sound_container,
    sound_document,
    sound_service,
)
from tests.policy.defects import ENV_FILES
from tests.policy.judging import TABLE, judge, judge_container


@pytest.mark.parametrize(
    "option", ["no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"]
)
def test_forms_of_no_new_privileges_are_equal(option: str) -> None:
    assert judge("HD-05", {"security_opt": [option]}) is Outcome.PASS
    assert judge_container("HD-05", {"HostConfig.SecurityOpt": [option]}).outcome is Outcome.PASS


@pytest.mark.parametrize("spelling", ["ALL", "all", "CAP_ALL", "cap_all"])
def test_capabilities_are_compared_without_case_and_prefix(spelling: str) -> None:
    assert judge("HD-03", {"cap_drop": [spelling]}) is Outcome.PASS
    assert judge_container("HD-03", {"HostConfig.CapDrop": [spelling]}).outcome is Outcome.PASS


@pytest.mark.parametrize("name", ["NET_BIND_SERVICE", "cap_net_bind_service"])
def test_a_row_may_add_its_capabilities(name: str) -> None:
    assert judge("HD-04", {"cap_add": [name]}, "traefik") is Outcome.PASS
    assert judge("HD-04", {"cap_add": [name]}, "gitea") is Outcome.FAIL


@pytest.mark.parametrize(
    "changes",
    [
        {"volumes": ["./gitea/app.ini:/etc/app.ini:ro,z", f"{DATA_DIR}/gitea/d:/d", "v:/v", "/v"]},
        {"volumes": [f"{INSTALL_DIR}/current/gitea/app.ini:/etc/app.ini:ro"]},
        {"tmpfs": "/tmp:size=1m,nosuid,nodev,noexec"},
        {"environment": ["TZ=UTC", "PASSWORD_FILE=/run/secrets/p"]},
        {"environment": None},
        {"env_file": "./gitea/plain.env"},
        {"env_file": [{"path": "gitea/plain.env", "required": False}]},
        {"command": "serve --port 8080"},
        {"command": None},
        {"ulimits": {"core": {}, "nofile": 65536}},
        {"ulimits": {"core": {"soft": 0, "hard": 0}, "nofile": {"soft": 1, "hard": 1}}},
        {"user": 1000},
        {
            "deploy": {"resources": {"limits": {"cpus": 0.5, "memory": 1073741824, "pids": 200}}},
            "memswap_limit": "1g",
        },
        {
            "deploy": {"resources": {"limits": {"cpus": "2", "memory": "1GiB"}}},
            "memswap_limit": "1048576k",
        },
        {"logging": {"driver": "local", "options": {"max-size": "1m", "max-file": "2"}}},
        {"restart": "on-failure:5"},
        {"stop_grace_period": "1m30s"},
        {"ports": []},
        {"devices": []},
    ],
)
def test_what_people_write_differently_is_judged_the_same(changes: dict[str, Any]) -> None:
    body = sound_service("gitea") | changes
    results = audit_compose({"services": {"gitea": body}}, TABLE, audit_context(files=ENV_FILES))
    assert {r.id for r in results if r.outcome is not Outcome.PASS} == set()


def test_sources_that_compose_made_absolute_are_still_of_the_bundle() -> None:
    body = sound_service("gitea")
    body["volumes"][0]["source"] = "/tmp/render/gitea/config.yaml"
    facts = {"project_dir": "/tmp/render/"}
    assert judge("HD-22", body, **facts) is Outcome.PASS
    assert judge("HD-22", body) is Outcome.FAIL
    body["volumes"][0]["read_only"] = False
    assert judge("HD-23", body, **facts) is Outcome.FAIL


def test_the_journal_needs_no_size_of_its_own() -> None:
    journald = {"logging": {"driver": "journald"}}
    assert judge("HD-29", journald) is Outcome.PASS
    log = {"HostConfig.LogConfig": {"Type": "journald", "Config": {}}}
    assert judge_container("HD-29", log).outcome is Outcome.PASS


@pytest.mark.parametrize("options", [("name=seccomp,profile=builtin",), ()])
def test_a_host_without_apparmor_is_reported_not_passed(options: tuple[str, ...]) -> None:
    found = judge_container("HD-07", {"AppArmorProfile": ""}, security_options=options)
    assert (found.outcome, found.found) == (Outcome.WARN, NOT_OFFERED)


def test_selinux_stands_in_for_apparmor() -> None:
    facts = {"security_options": ("name=selinux",)}
    label = {"AppArmorProfile": "", "ProcessLabel": "system_u:system_r:container_t:s0:c1,c2"}
    assert judge_container("HD-07", label, **facts).outcome is Outcome.PASS
    assert judge_container("HD-07", {"AppArmorProfile": ""}, **facts).outcome is Outcome.FAIL


def test_switching_apparmor_off_fails_also_where_the_host_has_none() -> None:
    changes = {"AppArmorProfile": "", "HostConfig.SecurityOpt": ["apparmor=unconfined"]}
    assert judge_container("HD-07", changes, security_options=()).outcome is Outcome.FAIL


def test_the_cgroup_name_space_of_a_v1_host_is_reported_not_failed() -> None:
    host = {"HostConfig.CgroupnsMode": "host"}
    found = judge_container("HD-20", host, cgroup_version=1)
    assert (found.outcome, found.found) == (Outcome.WARN, NOT_OFFERED)
    assert judge_container("HD-20", {}, cgroup_version=1).outcome is Outcome.PASS
    parent = {"HostConfig.CgroupnsMode": "host", "HostConfig.CgroupParent": "/x"}
    found = judge_container("HD-20", parent, cgroup_version=1)
    assert (found.outcome, found.found) == (Outcome.WARN, "HostConfig.CgroupParent: /x")


def test_half_of_the_hosts_memory_is_the_most_one_container_gets() -> None:
    assert judge("HD-10", {}, "coder", host_memory=16 * 1024**3) is Outcome.PASS
    assert judge("HD-10", {}, "coder", host_memory=15 * 1024**3) is Outcome.FAIL
    assert judge("HD-10", {}, "coder", host_memory=None) is Outcome.PASS


def test_the_image_is_the_one_of_the_lock_file() -> None:
    other = image_of("gitea").replace("ab", "cd")
    assert judge("HD-31", {}, images={"gitea": image_of("gitea")}) is Outcome.PASS
    assert judge("HD-31", {"image": other}, images={"gitea": image_of("gitea")}) is Outcome.FAIL
    assert judge("HD-31", {"image": other}) is Outcome.PASS


def test_a_listed_tmpfs_may_be_executed_from() -> None:
    tmpfs = {"tmpfs": ["/home/coder/.cache:size=1g,nosuid,nodev,exec"]}
    assert judge("HD-09", tmpfs, "coder") is Outcome.PASS
    assert judge("HD-09", tmpfs, "gitea") is Outcome.FAIL


EXPRESSION = next(a for a in TABLE.assertions if a.id == "HD-33").inspect[0].value["value"]


@pytest.mark.parametrize(
    "setting",
    [
        "DB_PASSWORD=hunter2",
        "db_passwd=x",
        "A_SECRET_B=abc",
        "API_KEY=abc",
        "ADMIN_PASSWORD=1234",
        "VAULT_TOKEN=00000000",
        "CONNECTION_URL=postgres://u:p@h/d",
        "PRIVATE_KEY=line one\nline two",
        "SECRET_KEY=/9j+4AAQ==",
        "PASSWORD=12h-not-a-duration",
        "SENTRY_DSN=https://key@host/1",
    ],
)
def test_a_secret_by_name_and_form_is_found(setting: str) -> None:
    assert exposes_secret(setting, EXPRESSION)


@pytest.mark.parametrize(
    "setting",
    [
        "DB_PASSWORD_FILE=/run/secrets/db",
        "GITEA__database__PASSWD__FILE=/run/secrets/db",
        "AUTHENTIK_SECRET_KEY=file:///run/secrets/key",
        "DB_PASSWORD=/run/secrets/db",
        "TOKEN=/vault/secrets/token",
        "VAULT_TOKEN_PATH=/home/app/.token",
        "PASSWORD=",
        "SESSION_TOKEN_LIFETIME=720h",
        "TOKEN_TTL=1h30m",
        "SECRET_ROTATION=30d",
        "AUTHENTIK_TOKEN_VALIDITY=days=30",
        "ACCESS_TOKEN_EXPIRY=P30D",
        "MIN_PASSWORD_LENGTH=12",
        "MAX_TOKENS=4096",
        "PASSWORD_COMPLEXITY=off",
        "TOKEN_AUTH=true",
        "DISABLE_PASSWORD_AUTH=false",
        "LEVEL=info",
        "SECRETS_DIR=/run/secrets",
        "PASSWORD",
    ],
)
def test_settings_about_secrets_paths_and_files_are_no_secrets(setting: str) -> None:
    assert not exposes_secret(setting, EXPRESSION)


@pytest.mark.parametrize(
    ("programs", "outcome"),
    [
        (["/usr/local/bin/gitea web", "dumb-init"], Outcome.PASS),
        (["/bin/sh -c exec sshd-like"], Outcome.PASS),
        (["gitea", "/usr/sbin/sshd -D"], Outcome.FAIL),
        (["sshd: git [priv]"], Outcome.FAIL),
        (["dropbear"], Outcome.FAIL),
    ],
)
def test_no_ssh_server_runs_in_a_container_hd_36(programs: list[str], outcome: Outcome) -> None:
    (found,) = audit_processes("gitea", programs, TABLE)
    assert (found.id, found.where, found.outcome) == ("HD-36", "gitea", outcome)


@pytest.mark.parametrize(
    "table",
    [
        b"assertions: [",
        b"[]",
        b"version: 1\nassertions: []\nroles: {}\nextra: 1",
        b"version: 1\nassertions:\n  - {id: HD-01, title: t, severity: must, compose: "
        b"[{path: a, op: resembles}]}\nroles: {}",
        b"version: 1\nassertions:\n  - {id: HD-01, title: t, severity: must, compose: "
        b"[{path: 'a[', op: eq}]}\nroles: {}",
        b"version: 1\nassertions: []\nroles: {}\nnotes: {HD-77: {}}",
    ],
)
def test_a_table_that_cannot_be_read_is_a_fault_of_the_product(table: bytes) -> None:
    with pytest.raises(StackError):
        parse_hardening(table)


def test_the_audit_changes_neither_document() -> None:
    document, container = sound_document(), sound_container("gitea")
    audit_compose(document, TABLE, audit_context())
    audit_inspect(container, None, TABLE, audit_context())
    assert document == sound_document()
    assert container == sound_container("gitea")


def test_a_host_that_was_not_asked_is_held_to_the_stricter_reading() -> None:
    facts = {"security_options": None, "cgroup_version": None}
    assert judge_container("HD-07", {"AppArmorProfile": ""}, **facts).outcome is Outcome.FAIL
    assert judge_container("HD-07", {}, **facts).outcome is Outcome.PASS
    host = {"HostConfig.CgroupnsMode": "host"}
    assert judge_container("HD-20", host, **facts).problem is not None


def test_an_env_file_that_is_not_text_fails() -> None:
    files = {"gitea/binary.env": b"\xff\xfe\x00"}
    assert judge("HD-33", {"env_file": "./gitea/binary.env"}, files=files) is Outcome.FAIL


def test_quotes_around_the_value_of_an_env_file_do_not_hide_it() -> None:
    files = {"gitea/a.env": b"TOKEN='hvs.abcdef'\n", "gitea/b.env": b'TOKEN_TTL="24h"\n'}
    assert judge("HD-33", {"env_file": "./gitea/a.env"}, files=files) is Outcome.FAIL
    assert judge("HD-33", {"env_file": "./gitea/b.env"}, files=files) is Outcome.PASS


@pytest.mark.parametrize(
    ("install_dir", "data_dir", "outcome"),
    [
        ("/srv/platform", "/srv/platform/data", Outcome.PASS),
        ("/srv/platform/data/install", "/srv/platform/data", Outcome.PASS),
    ],
)
def test_data_below_the_install_directory_may_be_written_and_configuration_not(
    install_dir: str, data_dir: str, outcome: Outcome
) -> None:
    facts = {"install_dir": install_dir, "data_dir": data_dir}
    data = {"volumes": [f"{data_dir}/gitea/repositories:/data"]}
    assert judge("HD-23", data, **facts) is outcome
    config = {"volumes": [f"{install_dir}/current/gitea/app.ini:/etc/app.ini"]}
    assert judge("HD-23", config, **facts) is Outcome.FAIL


def test_named_volumes_tmpfs_mounts_and_mounts_without_a_source_are_data() -> None:
    volumes = [
        {"type": "tmpfs", "target": "/run/secrets/cache"},
        {"type": "volume", "source": "cache", "target": "/cache"},
        {"type": "bind", "source": "", "target": "/x", "read_only": True},
    ]
    assert judge("HD-23", {"volumes": volumes}) is Outcome.PASS
    mounts = [{"Type": "volume", "Source": "/var/lib/docker/volumes/v/_data", "RW": True,
               "Destination": "/cache", "Propagation": ""}]  # fmt: skip
    for assertion in ("HD-22", "HD-23", "HD-24", "HD-25"):
        assert judge_container(assertion, {"Mounts": mounts}).outcome is Outcome.PASS
