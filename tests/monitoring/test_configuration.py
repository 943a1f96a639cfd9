"""What is rendered for Prometheus, Alertmanager and the prober, as their own programs read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from installer.core.bundle import Bundle
from tests.monitoring.bundles import RECEIVERS, bundle_of, render_with, write_service
from tests.monitoring.programs import check, program
from tests.stacks.builders import services_of

VARIANTS = ("everything", "acme-behind-balancer", "no-secret-server")
JOBS = {
    "ai-gateway", "alertmanager", "authentik-server", "authentik-worker", "blackbox-exporter",
    "coder", "drone-server", "gitea", "minio", "node-exporter", "postgres-exporter", "prometheus",
    "redis-exporter", "traefik", "uptime", "uptime-wildcard", "vault",
}  # fmt: skip


def scrapes_of(bundle: Bundle) -> dict[str, dict[str, Any]]:
    """Job → how it is scraped."""
    found = {}
    for path, file in bundle.files.items():
        if path.startswith("prometheus/scrape/"):
            for job in yaml.safe_load(file.data)["scrape_configs"]:
                assert job["job_name"] not in found
                found[job["job_name"]] = job
    return found


def prepare(bundle: Bundle, folder: Path) -> Path:
    """Prometheus' configuration on disk, with the secret files that it names."""
    write_service(bundle, "prometheus", folder)
    for name in ("gitea_metrics_token", "ai_gateway_key", "secret-server.pem", "grafana_metrics"):
        (folder / name).touch()
    return folder / "prometheus.yml"


@pytest.mark.parametrize("variant", VARIANTS)
def test_prometheus_takes_its_configuration(tmp_path: Path, variant: str) -> None:
    """CK-14."""
    taken, said = check(
        program("promtool"), "check", "config", prepare(bundle_of(variant=variant)[1], tmp_path)
    )
    assert taken, said


@pytest.mark.parametrize("receivers", [*RECEIVERS, "every"])
def test_alertmanager_takes_each_set_of_receivers(tmp_path: Path, receivers: str) -> None:
    """CK-16."""
    write_service(bundle_of(receivers)[1], "alertmanager", tmp_path)
    taken, said = check(program("amtool"), "check-config", tmp_path / "alertmanager.yml")
    assert taken, said


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_prober_takes_its_configuration(tmp_path: Path, variant: str) -> None:
    write_service(bundle_of(variant=variant)[1], "blackbox-exporter", tmp_path)
    taken, said = check(
        program("prometheus-blackbox-exporter"),
        "--config.check",
        f"--config.file={tmp_path}/blackbox.yml",
    )
    assert taken, said


def test_every_service_with_metrics_is_scraped_and_every_public_name_is_probed() -> None:
    """CK-14, CK-53."""
    plan, bundle = bundle_of()
    jobs = scrapes_of(bundle)
    assert jobs.keys() >= JOBS
    targets = {t for s in jobs["uptime"]["static_configs"] for t in s["targets"]}
    assert targets == {f"https://{route.host}{route.health}" for route in plan.routes}
    wildcard = jobs["uptime-wildcard"]
    assert wildcard["params"]["hostname"][0].endswith(plan.wildcard[1:])


def test_nobody_is_scraped_on_a_port_that_is_no_declared_flow() -> None:
    """SA-46 to SA-60."""
    plan, bundle = bundle_of()
    flows = {f"{c.to}:{c.port}" for c in plan.manifest("prometheus").connects}
    for name, job in scrapes_of(bundle).items():
        if name.startswith("uptime") or name == "prometheus":
            continue
        assert {t for s in job["static_configs"] for t in s["targets"]} <= flows, name


def test_secrets_of_scrapes_are_files_that_are_there() -> None:
    for variant in VARIANTS:
        plan, bundle = bundle_of(variant=variant)
        files = {f"/run/secrets/{name}" for name in plan.manifest("prometheus").secret_files}
        for name, job in scrapes_of(bundle).items():
            text = yaml.safe_dump(job)
            assert not {"credentials", "password", "bearer_token"} & set(job), name
            named = {word for word in text.split() if word.startswith("/run/secrets/")}
            assert named <= files, name


def test_metrics_that_tell_of_people_need_a_token_and_the_secret_server_is_verified() -> None:
    jobs = scrapes_of(bundle_of()[1])
    for name in ("gitea", "ai-gateway"):
        assert jobs[name]["authorization"]["credentials_file"].startswith("/run/secrets/")
    assert jobs["vault"]["scheme"] == "https"
    assert "insecure_skip_verify" not in jobs["vault"]["tls_config"]


def test_prometheus_has_no_interface_to_change_it() -> None:
    """Role prometheus of the hardening table: admin and lifecycle interfaces are off."""
    command = services_of(bundle_of()[1])["prometheus"]["command"]
    assert not [word for word in command if word.startswith("--web.enable")]


def test_metrics_are_kept_as_long_as_answered() -> None:
    """CK-14."""
    _, bundle = render_with({"monitoring": {"retention_days": 7}})
    assert "--storage.tsdb.retention.time=7d" in services_of(bundle)["prometheus"]["command"]


def test_metrics_are_switched_on_only_where_somebody_reads_them() -> None:
    def switches(bundle: Bundle) -> list[object]:
        services = services_of(bundle)
        return [
            services["coder"]["environment"].get("CODER_PROMETHEUS_ENABLE"),
            services["gitea"]["environment"]["GITEA__metrics__ENABLED"],
            services["drone-server"]["environment"]["DRONE_PROMETHEUS_ANONYMOUS_ACCESS"],
            services["minio"]["environment"].get("MINIO_PROMETHEUS_AUTH_TYPE"),
            b"unauthenticated_metrics_access = true" in bundle.files["vault/server.hcl"].data,
        ]  # fmt: skip

    assert switches(bundle_of()[1]) == ["true", "true", "true", "public", True]
    off = render_with({"monitoring": {"enabled": False}})[1]
    assert switches(off) == [None, "false", "false", None, False]
    assert not [p for p in off.files if p.startswith(("prometheus/", "alertmanager/"))]


def test_exporters_are_there_only_with_what_they_measure() -> None:
    plan, _ = render_with({"redis": {"enabled": False}})
    assert "redis-exporter" not in plan.services
    plan, _ = bundle_of()
    assert "+ping +info" in plan.manifest("redis").secret_files["users.acl"]
    assert "user gitea" in plan.manifest("redis").secret_files["users.acl"]


def test_without_a_receiver_nothing_leaves_and_the_file_says_that_nobody_is_told() -> None:
    plan, bundle = bundle_of("nobody")
    assert plan.manifest("alertmanager").egress is None
    assert not plan.manifest("alertmanager").secret_files
    assert b"NOBODY IS TOLD" in bundle.files["alertmanager/alertmanager.yml"].data
    for receivers in [name for name in RECEIVERS if name != "nobody"]:
        plan, _ = bundle_of(receivers)
        assert plan.manifest("alertmanager").egress, receivers
    assert (
        b"NOBODY IS TOLD" not in bundle_of("every")[1].files["alertmanager/alertmanager.yml"].data
    )


def test_secrets_of_receivers_are_named_as_files_and_by_the_sets_that_have_them() -> None:
    for receivers in [*RECEIVERS, "every"]:
        plan, bundle = bundle_of(receivers)
        text = bundle.files["alertmanager/alertmanager.yml"].data.decode()
        named = {w.rpartition("/")[2] for w in text.split() if w.startswith("/run/secrets/")}
        assert named == set(plan.manifest("alertmanager").secret_files), receivers


# Seeded defects: the readers refuse what is wrong.


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("scrape_interval: 30s", "scrape_interval: 30 s"),
        ("rule_files:", "rules_files:"),
        ("targets: [alertmanager:9093]", "targets: [http://alertmanager:9093]"),
        ("scrape_timeout: 10s", "scrape_timeout: 60s"),
    ],
)
def test_a_mistake_in_the_configuration_is_refused(tmp_path: Path, old: str, new: str) -> None:
    file = prepare(bundle_of()[1], tmp_path)
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    taken, _ = check(program("promtool"), "check", "config", file)
    assert not taken


def test_a_secret_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    file = prepare(bundle_of()[1], tmp_path)
    (tmp_path / "gitea_metrics_token").unlink()
    taken, said = check(program("promtool"), "check", "config", file)
    assert not taken
    assert "gitea_metrics_token" in said


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("receiver: operators", "receiver: nobody"),
        ("require_tls", "requires_tls"),
        ("smarthost:", "smart_host:"),
        ("routing_key_file:", "service_key_files:"),
        ('alertname="Watchdog"', "alertname Watchdog"),
    ],
)
def test_a_mistake_in_the_receivers_is_refused(tmp_path: Path, old: str, new: str) -> None:
    write_service(bundle_of("every")[1], "alertmanager", tmp_path)
    file = tmp_path / "alertmanager.yml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    taken, _ = check(program("amtool"), "check-config", file)
    assert not taken


def test_a_mistake_in_the_probes_is_refused(tmp_path: Path) -> None:
    write_service(bundle_of()[1], "blackbox-exporter", tmp_path)
    file = tmp_path / "blackbox.yml"
    file.write_text(file.read_text().replace("fail_if_not_ssl", "fail_if_no_ssl"))
    taken, _ = check(
        program("prometheus-blackbox-exporter"), "--config.check", f"--config.file={file}"
    )
    assert not taken
