"""The stand-in for Traefik serves: TLS by its options, routes, redirects, limits, headers."""

from __future__ import annotations

import http.client
import json
import ssl

import pytest
import standin
import traefik
import yaml
from standin import Refused

from tests.standin_tests.edge import Bed, make_certificate

HOSTS = ("coder.x", "git.x")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    make_certificate(folder, "good", *HOSTS, "*.coder.x")
    return folder


@pytest.fixture
def backend(serve):
    """A service that tells what it was asked."""
    app = standin.App("backend", "1")

    def echo(request):
        body = {"path": request.path, "headers": dict(request.headers)}
        return standin.Answer(200, body, {"X-Powered-By": "backend"})

    app.add("*", "/.*", echo)
    return serve(app)


@pytest.fixture
def start(tmp_path, certificates, backend):
    """Start an edge; `change` edits its two documents before."""
    beds = []

    def start(change=lambda static, dynamic: None):
        static = {
            "ping": {"entryPoint": "internal"},
            "metrics": {"prometheus": {"entryPoint": "internal"}},
            "accessLog": {
                "fields": {
                    "queryParameters": {"defaultMode": "drop"},
                    "headers": {"names": {"User-Agent": "keep", "Cookie": "drop"}},
                }
            },
            "entryPoints": {
                "web": {
                    "address": "127.0.0.1:0",
                    "http": {"redirections": {"entryPoint": {"to": ":443", "scheme": "https"}}},
                },
                "websecure": {
                    "address": "127.0.0.1:0",
                    "asDefault": True,
                    "http": {"tls": {}, "middlewares": ["hsts@file"]},
                },
                "internal": {"address": "127.0.0.1:0"},
            },
            "providers": {"file": {"directory": str(tmp_path / "dynamic")}},
        }
        dynamic = {
            "http": {
                "routers": {
                    "coder": {"rule": "Host(`coder.x`)", "service": "coder", "tls": {}},
                    "dead": {"rule": "Host(`git.x`)", "service": "dead", "tls": {}},
                },
                "services": {
                    "coder": {"loadBalancer": {"servers": [{"url": f"http://{backend}"}]}},
                    "dead": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:1"}]}},
                },
                "middlewares": {
                    "hsts": {"headers": {"stsSeconds": 63072000, "stsIncludeSubdomains": True}}
                },
            },
            "tls": {
                "options": {"default": {"minVersion": "VersionTLS12", "sniStrict": True}},
                "certificates": [
                    {
                        "certFile": str(certificates / "good.crt"),
                        "keyFile": str(certificates / "good.key"),
                    }
                ],
            },
        }
        change(static, dynamic)
        (tmp_path / "dynamic").mkdir(exist_ok=True)
        (tmp_path / "dynamic" / "all.yml").write_text(yaml.safe_dump(dynamic))
        (tmp_path / "traefik.yml").write_text(yaml.safe_dump(static))
        edge = traefik.Edge(traefik.read_static(tmp_path / "traefik.yml"))
        beds.append(Bed(edge, tmp_path, certificates))
        return beds[-1]

    yield start
    for bed in beds:
        bed.close()


def test_a_request_reaches_its_service_with_the_clients_address(start):
    status, headers, body = start().get(path="/a?b=c")
    seen = json.loads(body)["headers"]
    assert status == 200
    assert headers["Strict-Transport-Security"] == "max-age=63072000; includeSubDomains"
    assert (seen["x-forwarded-proto"], seen["x-forwarded-for"]) == ("https", "127.0.0.1")
    assert (seen["x-forwarded-host"], seen["host"]) == ("coder.x", "coder.x")


def test_a_forwarded_address_is_believed_from_trusted_clients_only(start):
    def seen(bed):
        headers = {"X-Forwarded-For": "203.0.113.9"}
        return json.loads(bed.get(**headers)[2])["headers"]["x-forwarded-for"]

    def trust(static, _):
        static["entryPoints"]["websecure"]["forwardedHeaders"] = {"trustedIPs": ["127.0.0.0/8"]}

    assert seen(start()) == "127.0.0.1"
    assert seen(start(trust)) == "203.0.113.9, 127.0.0.1"


def test_unknown_names_and_dead_services_have_their_own_answers(start):
    bed = start()
    assert bed.get(host="app.coder.x")[0] == 404
    assert bed.get(host="git.x")[0] == 502


def test_http_is_redirected_to_the_public_port(start):
    status, headers, _ = start().get(point="web", path="/a?b=c")
    assert (status, headers["Location"]) == (301, "https://coder.x/a?b=c")


def test_old_tls_and_foreign_names_get_no_connection(start):
    bed = start()
    modern = start(lambda _, d: d["tls"]["options"]["default"].update(minVersion="VersionTLS13"))

    def handshake(bed, host, **versions):
        connection = http.client.HTTPConnection("127.0.0.1", bed.port("websecure"), timeout=5)
        connection.connect()
        context = bed.context(**versions)
        context.check_hostname = False
        try:
            with context.wrap_socket(connection.sock, server_hostname=host) as plug:
                return plug.version()
        finally:
            connection.sock.close()

    assert handshake(bed, "coder.x", maximum_version=ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    assert handshake(modern, "coder.x") == "TLSv1.3"
    with pytest.raises(ssl.SSLError):
        handshake(modern, "coder.x", maximum_version=ssl.TLSVersion.TLSv1_2)
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
        handshake(bed, "foreign.x")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"minVersion": "VersionTLS9"}, "minimum version"),
        ({"cipherSuites": ["TLS_RSA_WITH_NOTHING"]}, "invalid CipherSuite"),
        ({"curvePreferences": ["Curve448"]}, "invalid CurveID"),
    ],
)
def test_tls_options_that_go_does_not_have_are_refused(start, options, reason):
    with pytest.raises(Refused, match=reason):
        start(lambda _, dynamic: dynamic["tls"]["options"]["default"].update(options))


def test_a_missing_key_is_refused(start):
    def lose(_, dynamic):
        dynamic["tls"]["certificates"][0]["keyFile"] = "/nowhere.key"

    with pytest.raises(Refused, match=r"/nowhere\.key"):
        start(lose)


def with_middleware(**definition):
    def change(_, dynamic):
        dynamic["http"]["middlewares"]["mine"] = definition
        dynamic["http"]["routers"]["coder"]["middlewares"] = ["mine@file"]

    return change


def test_headers_are_set_and_taken_away(start):
    bed = start(
        with_middleware(
            headers={
                "contentTypeNosniff": True,
                "customFrameOptionsValue": "SAMEORIGIN",
                "customResponseHeaders": {"X-Powered-By": "", "X-Mine": "yes"},
                "customRequestHeaders": {"X-Asked": "so"},
            }
        )
    )
    _, headers, body = bed.get()
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "SAMEORIGIN"
    assert (headers.get("X-Powered-By"), headers["X-Mine"]) == (None, "yes")
    assert json.loads(body)["headers"]["x-asked"] == "so"
    assert start().get()[1]["X-Powered-By"] == "backend"


def test_too_many_requests_are_told_so(start):
    bed = start(with_middleware(rateLimit={"average": 1, "burst": 2, "period": "1h"}))
    assert [bed.get()[0] for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize(("network", "status"), [("127.0.0.0/8", 200), ("10.0.0.0/8", 403)])
def test_only_listed_addresses_get_in(start, network, status):
    assert start(with_middleware(ipAllowList={"sourceRange": [network]})).get()[0] == status


def test_no_more_requests_at_a_time_than_allowed(start):
    assert start(with_middleware(inFlightReq={"amount": 0})).get()[0] == 429
    bed = start(with_middleware(inFlightReq={"amount": 1}))
    assert [bed.get()[0] for _ in range(3)] == [200, 200, 200]


def test_a_body_over_the_limit_is_refused(start):
    bed = start(with_middleware(buffering={"maxRequestBodyBytes": 3}))
    assert bed.get(method="POST", **{"Content-Length": "0"})[0] == 200
    exchange = traefik.Exchange("POST", "coder.x", "/", "/", "127.0.0.1", True, {}, size=4)
    assert bed.edge.serve("websecure", exchange, b"1234")[0].status == 413


def test_a_router_with_a_higher_priority_can_refuse_a_path(start):
    def refuse(_, dynamic):
        dynamic["http"]["middlewares"]["never"] = {"ipAllowList": {"sourceRange": ["192.0.2.1/32"]}}
        dynamic["http"]["routers"]["refused"] = {
            "rule": "Host(`coder.x`) && PathPrefix(`/metrics`)",
            "middlewares": ["never"],
            "service": "noop@internal",
            "tls": {},
        }

    bed = start(refuse)
    assert (bed.get(path="/metrics")[0], bed.get()[0]) == (403, 200)


def test_headers_with_an_underscore_can_be_deleted(start):
    def change(static, _):
        static["entryPoints"]["websecure"]["http"]["underscoreHeadersStrategy"] = "delete"

    for bed, there in ((start(), True), (start(change), False)):
        seen = json.loads(bed.get(X_Authentik_Username="root")[2])["headers"]
        assert ("x_authentik_username" in seen) is there


def test_a_good_change_is_taken_and_a_bad_one_is_not(start):
    bed = start()
    file = bed.folder / "dynamic" / "all.yml"
    good = yaml.safe_load(file.read_text())
    file.write_text(file.read_text().replace("stsSeconds", "stsMonths"))
    with pytest.raises(Refused):
        bed.edge.load()
    assert bed.get()[0] == 200
    good["http"]["routers"]["coder"]["rule"] = "Host(`new.coder.x`)"
    file.write_text(yaml.safe_dump(good))
    bed.edge.load()
    assert (bed.get()[0], bed.get(host="new.coder.x")[0]) == (404, 200)


def test_ping_and_metrics_are_inside_only(start):
    bed = start()
    assert bed.get(point="internal", path="/ping")[2] == b"OK"
    assert b"traefik_config_last_reload_success 1" in bed.get(point="internal", path="/metrics")[2]
    seen = json.loads(bed.get(path="/ping")[2])
    assert seen["path"] == "/ping"


def test_the_access_log_drops_queries_and_cookies(start, capsys):
    bed = start()
    bed.get(path="/a?code=s3cret", **{"User-Agent": "me", "Cookie": "session=s3cret"})
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["RequestPath"] == "/a"
    assert (line["request_User-Agent"], line["DownstreamStatus"]) == ("me", 200)
    assert "s3cret" not in json.dumps(line)


def test_the_health_check_asks_the_ping_of_the_configuration(start):
    bed = start()
    static = {**bed.edge.static}
    points = {**static["entryPoints"], "internal": {"address": f":{bed.port('internal')}"}}
    assert traefik.healthcheck({**static, "entryPoints": points}) == 0
    with pytest.raises(Refused, match="enable"):
        traefik.healthcheck({**static, "ping": None})
    bed.listeners["internal"].shutdown()
    with pytest.raises(Refused, match="error calling"):
        traefik.healthcheck({**static, "entryPoints": {"internal": {"address": ":1"}}})


def test_settings_come_from_one_source(monkeypatch, tmp_path):
    assert traefik.find_static([f"--configFile={tmp_path}/t.yml"]) == tmp_path / "t.yml"
    with pytest.raises(Refused, match="--api"):
        traefik.find_static(["--api=true"])
    monkeypatch.setenv("TRAEFIK_LOG_LEVEL", "DEBUG")
    with pytest.raises(Refused, match="exclude each other"):
        traefik.find_static([])
