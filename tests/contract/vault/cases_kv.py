"""What the key-value engines of a Vault-compatible server must do, as tables.

The engine `kv` is of version 2, `plain` of version 1.
"""

from __future__ import annotations

from tests.contract.vault.steps import Step, delete, get, names, post, put_secret

DATA, META = "kv/data/{p}", "kv/metadata/{p}"

KV = {
    "a first write with check-and-set 0 is version 1": [
        put_secret("one", 0, has={"data.version": 1, "data.destroyed": False}),
        get(DATA, has={"data.data": {"value": "one"}, "data.metadata.version": 1}),
    ],
    "a second write with check-and-set 0 is refused and changes nothing": [
        put_secret("one", 0),
        put_secret("two", 0, 400, error="check-and-set parameter did not match"),
        get(DATA, has={"data.data.value": "one"}),
    ],
    "a write with the version seen is the next version": [
        put_secret("one", 0),
        put_secret("two", 1, has={"data.version": 2}),
        put_secret("three", 1, 400, error="check-and-set parameter did not match"),
        get(DATA, has={"data.data.value": "two"}),
    ],
    "old versions are read by number": [
        put_secret("one"),
        put_secret("two"),
        get(DATA, query={"version": "1"}, has={"data.data.value": "one"}),
        get(DATA, query={"version": "0"}, has={"data.data.value": "two"}),
        get(DATA, 404, query={"version": "3"}, error=""),
        get(DATA, 400, query={"version": "x"}, error="cannot parse value as 'int'"),
    ],
    "what was never written is not there": [
        get(DATA, 404, error=""),
        get(META, 404, error=""),
        names("kv/metadata/{p}", 404, error=""),
    ],
    "a deleted secret keeps its version for check-and-set": [
        put_secret("one"),
        delete(DATA),
        get(DATA, 404, has={"data.data": None, "data.metadata.version": 1}),
        put_secret("two", 0, 400, error="check-and-set"),
        put_secret("two", 1, has={"data.version": 2}),
    ],
    "a deleted version can be had back": [
        put_secret("one"),
        post("kv/delete/{p}", {"versions": [1]}, 204),
        get(DATA, 404),
        post("kv/undelete/{p}", {"versions": [1]}, 204),
        get(DATA, has={"data.data.value": "one", "data.metadata.deletion_time": ""}),
    ],
    "a destroyed version cannot be had back": [
        put_secret("one"),
        post("kv/destroy/{p}", {"versions": [1]}, 204),
        post("kv/undelete/{p}", {"versions": [1]}, 204),
        get(DATA, 404, has={"data.data": None, "data.metadata.destroyed": True}),
        post("kv/destroy/{p}", {}, 400, error="no version number provided"),
    ],
    "removed metadata take every version along": [
        put_secret("one"),
        delete(META),
        get(DATA, 404, error=""),
        put_secret("two", 0, has={"data.version": 1}),
    ],
    "a listing has folders with a slash, in order": [
        post("kv/data/{p}/b", {"data": {"x": 1}}),
        post("kv/data/{p}/a/1", {"data": {"x": 1}}),
        post("kv/data/{p}/a", {"data": {"x": 1}}),
        names("kv/metadata/{p}", has={"data.keys": ["a", "a/", "b"]}),
        get("kv/metadata/{p}", query={"list": "true"}, has={"data.keys": ["a", "a/", "b"]}),
    ],
    "metadata say what versions there are": [
        put_secret("one"),
        put_secret("two"),
        post(META, {"custom_metadata": {"kind": "password"}}, 204),
        get(META, has={"data.current_version": 2, "data.custom_metadata": {"kind": "password"}}),
        get(DATA, has={"data.metadata.custom_metadata.kind": "password"}),
    ],
    "more versions than are kept push the oldest out": [
        post(META, {"max_versions": 2}, 204),
        put_secret("one"),
        put_secret("two"),
        put_secret("three"),
        get(DATA, 404, query={"version": "1"}),
        get(META, has={"data.oldest_version": 2, "data.current_version": 3}),
    ],
    "a secret that demands check-and-set is not written without": [
        post(META, {"cas_required": True}, 204),
        put_secret("one", None, 400, error="check-and-set parameter required"),
        put_secret("one", 0),
    ],
    "a write without the envelope is refused": [
        post(DATA, {"value": "x"}, 400, error="no data provided"),
        post(DATA, {"data": "x"}, 400, error='error converting input for field "data"'),
        post(DATA + "/", {"data": {}}, 400, error="cannot write to a path ending in '/'"),
    ],
    "version 2 asked as version 1 says so": [
        Step("GET", "kv/{p}", status=404, has={"data": None}, keep={"why": "warnings"}),
        post("kv/{p}", {"value": "x"}, 404, keep={"why": "warnings"}),
    ],
    "version 1 takes the envelope as data": [
        post("plain/data/{p}", {"data": {"value": "x"}, "options": {"cas": 0}}, 204),
        get("plain/data/{p}", has={"data.data": {"value": "x"}, "data.metadata": None}),
        get("plain/config", 404, error=""),
        post("plain/{p}", {}, 400, error="missing data fields"),
    ],
    "a mount says its version": [
        get("sys/mounts/kv", has={"data.type": "kv", "data.options": {"version": "2"}}),
        get("sys/mounts/plain", has={"data.type": "kv", "data.options": {"version": "1"}}),
        get("sys/mounts/{p}", 400, error="No secret engine mount at {p}/"),
    ],
    "a mount of version 1 can be made one of version 2, not back": [
        post("sys/mounts/{p}", {"type": "kv", "options": {"version": "1"}}, 204),
        post("sys/mounts/{p}/tune", {"options": {"version": "2"}}),
        get("sys/mounts/{p}/tune", has={"data.options.version": "2"}),
        post("sys/mounts/{p}/tune", {"options": {"version": "1"}}, 400, error="cannot downgrade"),
        delete("sys/mounts/{p}"),
    ],
    "a mount where one is, or of no known kind, is refused": [
        post("sys/mounts/kv", {"type": "kv"}, 400, error="path is already in use at kv/"),
        post("sys/mounts/kv/x", {"type": "kv"}, 400, error="path is already in use at kv/"),
        post("sys/mounts/{p}", {"type": "nil"}, 400, error="plugin not found in the catalog"),
        post("sys/mounts/sys/x", {"type": "kv"}, 400, error="cannot mount"),
    ],
    "a path without a mount has no handler": [
        get("{p}/data/x", 404, error='no handler for route "{p}/data/x"'),
        get("auth/{p}/role/x", 404, error="no handler for route"),
    ],
}
