"""Seeded defects (HA-02): for every assertion, alterations that break it and nothing else.

A defect takes the body of a compose service and spoils it in place; those of containers are in
`defects_inspect`. The first of each list is the plainest; the others are neighbours that must be
found as well.
"""

from __future__ import annotations

from tests.policy.builders import CANARY, DATA_DIR, INSTALL_DIR, image_of
from tests.policy.spoiling import Defect, add, bind, both, drop, put, setting

LIMITS = "deploy.resources.limits"

COMPOSE: dict[str, list[Defect]] = {
    "HD-01": [
        put("user", "0:0"),
        put("user", "root"),
        put("user", "00"),
        put("user", "git"),
        put("user", "1000:git"),
        put("user", "1000\n"),
        drop("user"),
    ],
    "HD-02": [
        put("privileged", True),
        put("privileged", "true"),
        put("post_start", [{"command": ["x"], "privileged": True}]),
    ],
    "HD-03": [drop("cap_drop"), put("cap_drop", ["NET_RAW", "CAP_SYS_ADMIN"])],
    "HD-04": [
        put("cap_add", ["SYS_ADMIN"]),
        put("cap_add", ["ALL"]),
        put("cap_add", ["CAP_CHOWN"]),
    ],
    "HD-05": [
        drop("security_opt"),
        put("security_opt", ["no-new-privileges:false"]),
        put("security_opt", ["no-new-privileges=false"]),
    ],
    "HD-06": [
        add("security_opt", "seccomp=unconfined"),
        add("security_opt", "seccomp:unconfined"),
        add("security_opt", "seccomp=./gitea/not-in-the-bundle.json"),
    ],
    "HD-07": [
        add("security_opt", "apparmor=unconfined"),
        add("security_opt", "apparmor:unconfined"),
        add("security_opt", "label:disable"),
    ],
    "HD-08": [put("read_only", False), drop("read_only"), put("read_only", 1)],
    "HD-09": [
        put("tmpfs", ["/tmp"]),
        put("tmpfs", ["/tmp:mode=1777,nosuid,nodev,noexec"]),
        put("tmpfs", ["/tmp:size=64m,nodev,noexec"]),
        put("tmpfs", ["/tmp:size=64m,nosuid,noexec"]),
        put("tmpfs", ["/tmp:size=64m,nosuid,nodev"]),
        put("tmpfs", ["/tmp:size=64m,nosuid,nodev,exec"]),
        put("tmpfs", "/run"),
    ],
    "HD-10": [
        drop(f"{LIMITS}.memory", "memswap_limit"),
        both(put(f"{LIMITS}.memory", "0"), put("memswap_limit", "0")),
        both(put(f"{LIMITS}.memory", "16m"), put("memswap_limit", "16m")),
        both(put(f"{LIMITS}.memory", "48g"), put("memswap_limit", "48g")),
    ],
    "HD-11": [drop("memswap_limit"), put("memswap_limit", "-1"), put("memswap_limit", "2g")],
    "HD-12": [drop(f"{LIMITS}.cpus"), put(f"{LIMITS}.cpus", "0"), put(f"{LIMITS}.cpus", "")],
    "HD-13": [
        drop("pids_limit", f"{LIMITS}.pids"),
        both(put("pids_limit", -1), put(f"{LIMITS}.pids", -1)),
        both(put("pids_limit", 0), put(f"{LIMITS}.pids", 0)),
        both(put("pids_limit", 4097), put(f"{LIMITS}.pids", 4097)),
        put("pids_limit", 100),
    ],
    "HD-14": [
        put("network_mode", "host"),
        put("network_mode", "service:postgres"),
        put("network_mode", "container:x"),
        put("network_mode", "bridge"),
    ],
    "HD-15": [drop("networks"), put("networks", {}), put("networks", [])],
    "HD-16": [put("pid", "host"), put("pid", "service:redis")],
    "HD-17": [put("ipc", "host"), put("ipc", "shareable"), put("ipc", "service:redis")],
    "HD-18": [put("uts", "host")],
    "HD-19": [put("userns_mode", "host")],
    "HD-20": [put("cgroup", "host"), put("cgroup_parent", "/system.slice")],
    "HD-21": [
        put("devices", ["/dev/fuse:/dev/fuse"]),
        put("device_cgroup_rules", ["c 1:3 rw"]),
        put("gpus", "all"),
        put(
            "deploy",
            {
                "resources": {
                    "limits": {"cpus": "1", "memory": "1024M", "pids": 200},
                    "reservations": {"devices": [{"driver": "nvidia"}]},
                }
            },
        ),
    ],
    "HD-22": [
        bind("/etc/passwd"),
        bind("/"),
        bind("../outside"),
        bind("./../../../etc/shadow"),
        bind(f"{INSTALL_DIR}/../../etc"),
        bind(f"{DATA_DIR}/../../../root"),
        bind(INSTALL_DIR),
        bind(f"{DATA_DIR}-other/x"),
        bind("//etc/ssl"),
        bind("~/x"),
        add("volumes", "/etc/ssl:/etc/ssl:ro"),
        put("volumes_from", ["redis"]),
    ],
    "HD-23": [
        bind("./gitea/other.yaml", read_only=False),
        bind(f"{INSTALL_DIR}/secrets/gitea/password", read_only=False),
        bind(f"{DATA_DIR}/gitea/x", "/run/secrets/x", read_only=False),
        add("volumes", "./gitea/app.ini:/etc/app.ini"),
        add("volumes", "./gitea/app.ini:/etc/app.ini:rw,z"),
    ],
    "HD-24": [
        bind("/var/run/docker.sock", "/var/run/docker.sock"),
        bind("/run/containerd/containerd.sock"),
        bind("/run/user/1000/podman/podman.sock"),
        bind(f"{DATA_DIR}/gitea/docker.sock", read_only=False),
        add("volumes", "/var/run/docker.sock:/var/run/docker.sock:ro"),
        put("use_api_socket", True),
    ],
    "HD-25": [
        bind(f"{DATA_DIR}/gitea/x", bind={"propagation": "rshared"}),
        bind(f"{DATA_DIR}/gitea/x", bind={"propagation": "slave"}),
        add("volumes", f"{DATA_DIR}/gitea/x:/x:rshared"),
    ],
    "HD-26": [
        put("ports", [{"target": 3000, "published": "3000", "host_ip": "127.0.0.1"}]),
        put("ports", ["3000:3000"]),
        put("ports", ["3000"]),
        put("ports", ["[::1]:2222:22/tcp"]),
    ],
    "HD-27": [
        drop("healthcheck"),
        put("healthcheck", {"test": ["NONE"]}),
        put("healthcheck", {"test": "NONE"}),
        put("healthcheck", {"test": ["CMD", "true"], "disable": True}),
        put("healthcheck", {"interval": "10s"}),
    ],
    "HD-28": [put("restart", "no"), drop("restart"), put("restart", "on-failure")],
    "HD-29": [
        drop("logging"),
        put("logging", {"driver": "json-file"}),
        put("logging", {"driver": "none", "options": {"max-size": "1m", "max-file": "2"}}),
        put("logging", {"driver": "local", "options": {"max-size": "1m"}}),
    ],
    "HD-30": [
        drop("ulimits"),
        drop("ulimits.core"),
        drop("ulimits.nofile"),
        put("ulimits.core", -1),
        put("ulimits.core", {"soft": 0, "hard": 1024}),
    ],
    "HD-31": [
        put("image", "registry.example/gitea:1.2.3"),
        put("image", "gitea"),
        put("image", image_of("gitea").replace(":1.2.3", ":latest")),
        put("image", image_of("gitea")[:-1]),
    ],
    "HD-32": [put("build", "."), put("build", {"context": "."}), put("pull_policy", "always")],
    "HD-33": [
        setting("GITEA_DB_PASSWORD", "hunter2hunter2"),
        setting("ADMIN_PASSWORD", "12345678"),
        setting("MINIO_SECRET_KEY", "/abc+def=="),
        setting("VAULT_TOKEN", "hvs.abc"),
        setting("DSN", "x"),
        setting("DATABASE_URL", "postgres://app:pw@postgres:5432/app"),
        setting("PLAIN", f"prefix-{CANARY.reveal()}-suffix"),
        setting("TLS", "-----BEGIN EC PRIVATE KEY-----\nabc\n"),
        setting("SIGNING_PRIVATE_KEY", "-----BEGIN PRIVATE KEY-----\nabc\n"),
        put("environment", ["ACCESS_KEY=AKIA0"]),
        put("env_file", ["./gitea/secret.env"]),
        put("env_file", [{"path": "./gitea/missing.env", "required": True}]),
        put("env_file", "./gitea/canary.env"),
    ],
    "HD-34": [
        put("command", ["serve", "--password", CANARY.reveal()]),
        put("command", f"serve --password={CANARY.reveal()}"),
        put("entrypoint", ["/bin/sh", "-c", f"X={CANARY.reveal()} exec serve"]),
        put("healthcheck", {"test": ["CMD", "redis-cli", "-a", CANARY.reveal(), "ping"]}),
    ],
    "HD-35": [
        put("labels.note", CANARY.reveal()),
        put("labels.basic-auth", f"admin:{CANARY.reveal()}"),
    ],
    "HD-37": [put("init", False), drop("init")],
    "HD-38": [
        add("security_opt", "systempaths=unconfined"),
        add("security_opt", "systempaths:unconfined"),
    ],
    "HD-39": [put("sysctls", {"net.core.somaxconn": 1}), put("sysctls", ["net.core.somaxconn=1"])],
    "HD-40": [put("oom_kill_disable", True)],
    "HD-41": [
        drop("stop_grace_period"),
        put("stop_grace_period", "1s"),
        put("stop_grace_period", "5m"),
        put("stop_grace_period", "soon"),
    ],
    "HD-42": [
        lambda body: body["labels"].pop("devplat.release"),
        put("labels", {"devplat.role": "gitea"}),
    ],
}

ENV_FILES = {
    "gitea/secret.env": b"# settings\nexport GITEA_SECRET='abcdef'\n",
    "gitea/canary.env": f"NOTE={CANARY.reveal()}\n".encode(),
    "gitea/plain.env": b"LEVEL=info\nPASSWORD_FILE=/run/secrets/p\n\nTOKEN_TTL=24h\n",
}
