"""The part that all stand-ins share."""

from __future__ import annotations

import socket
import threading

import pytest
import standin
from resp import check_redis
from standin import Refused


def test_every_answer_says_that_it_comes_from_a_standin(serve, fetch):
    address = serve(standin.App("coder", "1"))
    status, headers, body = fetch(address, "/version")
    assert status == 200
    assert headers["Server"].startswith("stand-in-for-coder")
    assert b"stand-in" in body


def test_an_unknown_path_is_not_found_and_an_unknown_method_not_allowed(serve, fetch):
    address = serve(standin.App("coder", "1"))
    assert fetch(address, "/nothing")[0] == 404
    assert fetch(address, "/version", "DELETE")[0] == 405
    assert fetch(address, "/version", "HEAD")[2] == b""


@pytest.mark.parametrize("value", ["8h", "1h30m", "0", "250ms", "1.5s"])
def test_go_durations_are_taken(value):
    standin.check_duration("X", value)


@pytest.mark.parametrize("value", ["8", "8 h", "eight", "", "1d"])
def test_what_go_takes_for_no_duration_is_refused(value):
    with pytest.raises(Refused):
        standin.check_duration("X", value)


@pytest.mark.parametrize("value", ["yes", "on", "", "TrUe"])
def test_what_go_takes_for_no_boolean_is_refused(value):
    with pytest.raises(Refused):
        standin.parse_bool("X", value)


@pytest.mark.parametrize(
    ("text", "parts"),
    [("0.0.0.0:80", ("0.0.0.0", 80)), (":80", ("0.0.0.0", 80)), ("[::1]:9", ("::1", 9))],
)
def test_addresses_are_split(text, parts):
    assert standin.split_address(text) == parts


@pytest.mark.parametrize("text", ["80", "host:", "host:http", "host:99999"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(Refused):
        standin.split_address(text)


def test_a_directory_that_cannot_be_written_stops_the_program(tmp_path):
    standin.require_writable(str(tmp_path / "fine"), "X")
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="Not a directory"):
        standin.require_writable(str(tmp_path / "file" / "below"), "X")


def test_a_secret_file_loses_its_line_end_only(tmp_path):
    (tmp_path / "secret").write_text(" a b \n")
    assert standin.read_secret(str(tmp_path / "secret"), "X") == " a b "
    with pytest.raises(Refused, match="No such file"):
        standin.read_secret(str(tmp_path / "other"), "X")


def test_a_refusal_is_a_line_and_a_status(capsys):
    def refuse():
        raise Refused("no")

    assert standin.run_program("coder", refuse) == 1
    assert capsys.readouterr().err == "coder (stand-in): no\n"


@pytest.fixture
def resp():
    """A RESP server that knows one account."""
    plug = socket.create_server(("127.0.0.1", 0))
    seen = []

    def talk():
        while True:
            try:
                client, _ = plug.accept()
            except OSError:
                return
            with client:
                while data := client.recv(4096):
                    words = data.decode().split("\r\n")[2::2]
                    seen.append(words)
                    good = words[0] != "AUTH" or words[1:] == ["gitea", "s3cret"]
                    client.sendall(b"+OK\r\n" if good else b"-WRONGPASS no\r\n")

    thread = threading.Thread(target=talk)
    thread.start()
    yield plug.getsockname()[1], seen
    plug.shutdown(socket.SHUT_RDWR)
    plug.close()
    thread.join()


def test_redis_is_asked_with_the_account_of_the_url(resp):
    port, seen = resp
    check_redis(f"redis://gitea:s3cret@127.0.0.1:{port}/2", "cache")
    assert seen == [["AUTH", "gitea", "s3cret"], ["SELECT", "2"], ["PING"]]


def test_a_wrong_redis_password_or_scheme_is_refused(resp):
    port, _ = resp
    with pytest.raises(Refused, match="WRONGPASS"):
        check_redis(f"redis://gitea:wrong@127.0.0.1:{port}", "cache")
    with pytest.raises(Refused, match="want redis://"):
        check_redis("addrs=redis:6379", "cache")


def test_a_lost_database_connection_is_opened_anew():
    class Lost:
        def cursor(self):
            raise ConnectionError

    opened = []

    def open_one():
        opened.append(Lost())
        return opened[-1]

    connection = standin.Postgres(open_one, (ConnectionError,))
    with pytest.raises(ConnectionError):
        connection.run("SELECT 1", ())
    assert len(opened) == 2
