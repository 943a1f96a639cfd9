"""Seeded defects (HA-02) of running containers, as the engine describes them; see `defects`."""

from __future__ import annotations

from tests.policy.builders import CANARY, DATA_DIR, INSTALL_DIR
from tests.policy.spoiling import MIB, Defect, add, both, drop, mount, put

HOST = "HostConfig"
INSPECT: dict[str, list[Defect]] = {
    "HD-01": [put("Config.User", ""), put("Config.User", "0"), put("Config.User", "root")],
    "HD-02": [put(f"{HOST}.Privileged", True)],
    "HD-03": [put(f"{HOST}.CapDrop", None), put(f"{HOST}.CapDrop", ["NET_RAW"])],
    "HD-04": [put(f"{HOST}.CapAdd", ["CAP_SYS_ADMIN"]), put(f"{HOST}.CapAdd", ["ALL"])],
    "HD-05": [
        put(f"{HOST}.SecurityOpt", None),
        put(f"{HOST}.SecurityOpt", ["no-new-privileges:false"]),
    ],
    "HD-06": [
        add(f"{HOST}.SecurityOpt", "seccomp=unconfined"),
        add(f"{HOST}.SecurityOpt", 'seccomp={"defaultAction": "SCMP_ACT_ALLOW"}'),
    ],
    "HD-07": [
        put("AppArmorProfile", ""),
        put("AppArmorProfile", "unconfined"),
        drop("AppArmorProfile"),
        add(f"{HOST}.SecurityOpt", "label=disable"),
    ],
    "HD-08": [put(f"{HOST}.ReadonlyRootfs", False)],
    "HD-09": [
        put(f"{HOST}.Tmpfs", {"/tmp": ""}),
        put(f"{HOST}.Tmpfs", {"/tmp": "nosuid,nodev,noexec"}),
        put(f"{HOST}.Tmpfs", {"/tmp": "size=1m,nodev,noexec"}),
        put(f"{HOST}.Tmpfs", {"/tmp": "size=1m,nosuid,noexec"}),
        put(f"{HOST}.Tmpfs", {"/tmp": "size=1m,nosuid,nodev"}),
    ],
    "HD-10": [
        both(put(f"{HOST}.Memory", 0), put(f"{HOST}.MemorySwap", 0)),
        both(put(f"{HOST}.Memory", 64 * MIB), put(f"{HOST}.MemorySwap", 64 * MIB)),
        both(put(f"{HOST}.Memory", 40960 * MIB), put(f"{HOST}.MemorySwap", 40960 * MIB)),
    ],
    "HD-11": [put(f"{HOST}.MemorySwap", 2048 * MIB), put(f"{HOST}.MemorySwap", -1)],
    "HD-12": [put(f"{HOST}.NanoCpus", 0)],
    "HD-13": [
        put(f"{HOST}.PidsLimit", None),
        put(f"{HOST}.PidsLimit", 0),
        put(f"{HOST}.PidsLimit", -1),
        put(f"{HOST}.PidsLimit", 15),
    ],
    "HD-14": [put(f"{HOST}.NetworkMode", "host"), put(f"{HOST}.NetworkMode", "container:abc")],
    "HD-15": [put("NetworkSettings.Networks", {"bridge": {}})],
    "HD-16": [put(f"{HOST}.PidMode", "host"), put(f"{HOST}.PidMode", "container:abc")],
    "HD-17": [put(f"{HOST}.IpcMode", "host"), put(f"{HOST}.IpcMode", "shareable")],
    "HD-18": [put(f"{HOST}.UTSMode", "host")],
    "HD-19": [put(f"{HOST}.UsernsMode", "host")],
    "HD-20": [put(f"{HOST}.CgroupnsMode", "host"), put(f"{HOST}.CgroupParent", "/x")],
    "HD-21": [
        put(f"{HOST}.Devices", [{"PathOnHost": "/dev/fuse"}]),
        put(f"{HOST}.DeviceRequests", [{"Count": -1}]),
        put(f"{HOST}.DeviceCgroupRules", ["c 1:3 rw"]),
    ],
    "HD-22": [
        mount("/etc"),
        mount("/etc/"),
        mount("/home"),
        mount("/srv/other"),
        mount(f"{DATA_DIR}/../../etc"),
        mount(f"{DATA_DIR}/link"),
    ],
    "HD-23": [
        mount(f"{INSTALL_DIR}/current/gitea/app.ini", RW=True),
        mount(f"{INSTALL_DIR}/secrets/gitea/x", "/run/secrets/x", RW=True),
        mount(f"{DATA_DIR}/gitea/x", "/vault/secrets/x", RW=True),
    ],
    "HD-24": [
        mount("/var/run/docker.sock"),
        mount("/run/podman/podman.sock"),
        mount(f"{DATA_DIR}/docker.sock", RW=True),
    ],
    "HD-25": [
        mount(f"{DATA_DIR}/gitea/x", Propagation="rshared"),
        mount(f"{DATA_DIR}/gitea/x", Propagation="rslave"),
    ],
    "HD-26": [
        put(f"{HOST}.PortBindings", {"3000/tcp": [{"HostIp": "", "HostPort": "3000"}]}),
        put(f"{HOST}.PortBindings", {"22/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}),
        put(f"{HOST}.PublishAllPorts", True),
    ],
    "HD-27": [
        put("State.Health", {"Status": "unhealthy"}),
        put("State.Health", {"Status": "starting"}),
        drop("State.Health"),
        drop("Config.Healthcheck"),
        put("Config.Healthcheck", {"Test": ["NONE"]}),
    ],
    "HD-28": [put(f"{HOST}.RestartPolicy", {"Name": "no"}), put("RestartCount", 4)],
    "HD-29": [
        put(f"{HOST}.LogConfig", {"Type": "json-file", "Config": {}}),
        put(f"{HOST}.LogConfig", {"Type": "json-file", "Config": {"max-size": "1m"}}),
        put(f"{HOST}.LogConfig", {"Type": "none", "Config": {"max-size": "1m", "max-file": "1"}}),
    ],
    "HD-30": [
        put(f"{HOST}.Ulimits", None),
        put(f"{HOST}.Ulimits", [{"Name": "nofile", "Hard": 1, "Soft": 1}]),
        put(f"{HOST}.Ulimits", [{"Name": "core", "Hard": -1, "Soft": 0}]),
    ],
    "HD-31": [
        put("Config.Image", "registry.example/gitea:1.2.3"),
        put("Config.Image", "sha256:" + "ab" * 32),
    ],
    "HD-33": [
        add("Config.Env", "DB_PASSWORD=hunter2"),
        add("Config.Env", "redis_url=redis://:pw@redis:6379/0"),
        add("Config.Env", f"X={CANARY.reveal()}"),
    ],
    "HD-34": [
        put("Config.Cmd", ["serve", CANARY.reveal()]),
        put("Config.Entrypoint", ["sh", "-c", f"x {CANARY.reveal()}"]),
        put("Config.Healthcheck", {"Test": ["CMD-SHELL", f"redis-cli -a {CANARY.reveal()}"]}),
    ],
    "HD-35": [put("Config.Labels.note", CANARY.reveal())],
    "HD-37": [put(f"{HOST}.Init", False), put(f"{HOST}.Init", None)],
    "HD-38": [
        put(f"{HOST}.MaskedPaths", []),
        put(f"{HOST}.MaskedPaths", ["/proc/kcore", "/proc/keys"]),
        put(f"{HOST}.ReadonlyPaths", ["/proc/bus"]),
    ],
    "HD-39": [put(f"{HOST}.Sysctls", {"net.core.somaxconn": "1"})],
    "HD-40": [put(f"{HOST}.OomKillDisable", True), put(f"{HOST}.OomScoreAdj", -501)],
    "HD-41": [
        drop("Config.StopTimeout"),
        put("Config.StopTimeout", 1),
        put("Config.StopTimeout", 121),
    ],
    "HD-42": [
        lambda body: body["Config"]["Labels"].pop("devplat.release"),
        lambda body: body["Config"]["Labels"].pop("com.docker.compose.project"),
    ],
}
