"""The monitoring pages beside nats-server's: same keys in the same order, same types, same values where the work decides.

Run with BROKERD=path/to/brokerd NATS_SERVER=path/to/nats-server pytest Tests/Interop/monitoring_test.py
"""

import contextlib
import http.client
import json
import os
import re
import resource
import socket
import subprocess
import time

import pytest

BROKERD = os.environ.get("BROKERD", ".build/release/brokerd")
NATS_SERVER = os.environ.get("NATS_SERVER", "nats-server")

# What nats-server shows and one node of Bellhop has no counterpart for, by path; the report of each is in the page's file.
ONLY_THERE = {
    "feature_flags": {"js_ack_fc_v2", "js_api_reply_v2", "js_raft_delete_range", "js_snapshot_sources"},
    "account_detail": {"imports"},
}


class Server:
    """A server on free ports, and clients that did the same work on it."""

    def __init__(self, binary, tmp_path, config=None, args=()):
        self.log_path = tmp_path / (os.path.basename(binary) + ".log")
        self.log = open(self.log_path, "wb")
        if config:
            path = tmp_path / (os.path.basename(binary) + ".conf")
            path.write_text(config)
            args = (*args, "-c", str(path))
        else:
            args = (*args, "-a", "127.0.0.1", "-p", "-1", "-m", "-1")
        self.process = subprocess.Popen([binary, *args], stderr=self.log, cwd=tmp_path)
        try:
            self.port = self.logged(r"Listening for client connections on .*:(\d+)")
            self.http_port = self.logged(r"Starting http monitor on 127\.0\.0\.1:(\d+)")
        except BaseException:
            self.stop()
            raise

    def logged(self, pattern):
        for _ in range(500):
            found = re.search(pattern, self.log_path.read_text())
            if found:
                return int(found.group(1))
            assert self.process.poll() is None, self.log_path.read_text()
            time.sleep(0.01)
        raise AssertionError(self.log_path.read_text())

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.log.close()

    def client(self, name, **connect):
        return Client(self.port, name, **connect)

    def request(self, method, target, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=10)
        try:
            connection.request(method, target, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()
        finally:
            connection.close()

    def get(self, target):
        status, headers, body = self.request("GET", target)
        assert status == 200, (target, status, body)
        assert headers["Content-Type"] == "application/json" and headers["Access-Control-Allow-Origin"] == "*"
        return json.loads(body)


class Client:
    def __init__(self, port, name, **connect):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.file = self.socket.makefile("rb")
        self.info = json.loads(self.file.readline().split(b" ", 1)[1])
        options = {"verbose": False, "pedantic": False, "name": name, "lang": "test", "version": "1.2", "protocol": 1,
                   "headers": True, **connect}
        self.socket.sendall(b"CONNECT " + json.dumps(options).encode() + b"\r\n")
        self.sync()

    def send(self, text):
        self.socket.sendall(text.encode())
        self.sync()

    def sync(self):
        """Until everything sent so far has been worked on."""
        self.socket.sendall(b"PING\r\n")
        while True:
            line = self.file.readline()
            assert line, "closed"
            if line == b"PONG\r\n":
                return
            if line == b"PING\r\n":
                self.socket.sendall(b"PONG\r\n")
            if line.startswith((b"MSG", b"HMSG")):
                self.file.read(int(line.split()[-1]) + 2)
            assert not line.startswith(b"-ERR"), line

    def close(self):
        self.socket.shutdown(socket.SHUT_WR)
        self.socket.close()
        self.file.close()


def work(server):
    """Four clients: one that listens, one that speaks, one that does both, one that is gone."""
    a = server.client("listener")
    a.send("SUB foo.* 1\r\nSUB bar workers 2\r\nSUB baz.> 3\r\nUNSUB 3 5\r\nSUB gone 4\r\nUNSUB 4\r\n")
    time.sleep(0.02)
    b = server.client("speaker")
    b.send("PUB foo.x 5\r\nhello\r\n" * 3 + "PUB bar 3\r\nabc\r\nPUB none 1\r\nx\r\n")
    time.sleep(0.02)
    c = server.client("both")
    c.send("SUB echo 1\r\nPUB echo 100\r\n" + "e" * 100 + "\r\n")
    d = server.client("gone")
    d.send("SUB left.behind 9\r\n")
    d.close()
    a.sync()
    c.sync()
    for _ in range(200):
        if server.get("/connz?state=closed")["total"] == 1 and server.get("/varz")["connections"] == 3:
            break
        time.sleep(0.01)
    return [a, b, c]


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    started = []
    try:
        for binary in (BROKERD, NATS_SERVER):
            server = Server(os.path.abspath(binary) if os.sep in binary else binary, tmp_path_factory.mktemp("server"))
            server.clients = work(server)
            started.append(server)
        yield started
    finally:
        for server in started:
            server.stop()


def kind(value):
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


def compare(ours, theirs, path, name=""):
    """The same shape: keys in the same order, the same types; lists by their first element."""
    assert kind(ours) == kind(theirs), path
    if isinstance(ours, dict):
        wanted = [key for key in theirs if key not in ONLY_THERE.get(name, ())]
        assert list(ours) == wanted, path
        for key in wanted:
            compare(ours[key], theirs[key], f"{path}.{key}", key)
    elif isinstance(ours, list) and ours and theirs:
        if isinstance(ours[0], dict) and "subject" in ours[0]:
            ours, theirs = (sorted(entries, key=lambda entry: entry["subject"]) for entries in (ours, theirs))
        compare(ours[0], theirs[0], f"{path}[0]")


PAGES = [
    "/varz", "/connz", "/connz?subs=1", "/connz?subs=detail&auth=1", "/connz?state=closed", "/connz?state=closed&subs=1&auth=1",
    "/connz?state=any", "/connz?limit=1&offset=1", "/connz?offset=99", "/connz?cid=999999", "/connz?acc=nope", "/connz?user=u",
    "/connz?acc=$G", "/connz?acc=$SYS", "/connz?limit=-1&offset=-1", "/connz?a;b=1", "/subsz", "/subscriptionsz",
    "/subsz?test=foo.bar&subs=1", "/subsz?subs=1&acc=$G&test=bar", "/subsz?acc=nope&subs=1", "/subsz?subs=1&offset=5000",
    "/healthz", "/healthz?js-enabled-only=true", "/healthz?js-server-only=1&details=1", "/healthz?account=x&stream=y",
    "/accountz", "/accountz?acc=$G", "/accstatz", "/accstatz?unused=1", "/accstatz?acc=$G", "/routez", "/gatewayz", "/leafz",
    "/leafz?subs=1", "/%76arz", "/varz?x=%zz",
]


@pytest.mark.parametrize("target", PAGES)
def test_shape(servers, target):
    ours, theirs = (server.get(target) for server in servers)
    if target.startswith("/varz") or target == "/%76arz":
        # Which pages have been asked for is not part of the shape.
        ours["http_req_stats"] = theirs["http_req_stats"] = {}
    compare(ours, theirs, target)


MISTAKES = [
    "/connz?sort=bogus", "/connz?sort=stop", "/connz?sort=reason", "/connz?sort=stop&state=any", "/connz?subs=x", "/connz?auth=yes",
    "/connz?limit=x", "/connz?limit=+1", "/connz?limit=0x10", "/connz?limit=99999999999999999999", "/connz?offset=%22",
    "/connz?cid=-1", "/connz?cid=99999999999999999999", "/connz?state=bogus", "/subsz?subs=x", "/subsz?limit=x", "/subsz?offset=x",
    "/subsz?test=foo.*", "/subsz?test=..", "/accountz?acc=nope", "/accstatz?unused=x", "/healthz?js-enabled-only=x",
    "/healthz?details=x", "/healthz?stream=x", "/healthz?consumer=x", "/nope", "/varz/", "/expvarz",
]


@pytest.mark.parametrize("target", MISTAKES)
def test_mistakes(servers, target):
    ours, theirs = (server.request("GET", target) for server in servers)
    assert ours[0] == theirs[0] != 200
    assert ours[2] == theirs[2]
    for header in ("Content-Type", "Access-Control-Allow-Origin", "X-Content-Type-Options"):
        assert ours[1].get(header) == theirs[1].get(header)


def test_redirects(servers):
    for target, location in [("//varz", "/varz"), ("/varz/../connz?subs=1", "/connz?subs=1"), ("/./", "/")]:
        for server in servers:
            status, headers, _ = server.request("GET", target)
            assert (status, headers["Location"]) == (307, location)


def test_root_and_head(servers):
    for server in servers:
        status, headers, body = server.request("GET", "/")
        assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8" and "./varz" in body
        status, headers, body = server.request("HEAD", "/varz")
        assert status == 200 and int(headers["Content-Length"]) > 1000 and body == ""


def test_varz_values(servers):
    same = ["version", "proto", "host", "max_connections", "ping_interval", "ping_max", "http_host", "http_base_path",
            "https_port", "auth_timeout", "max_control_line", "max_payload", "max_pending", "tls_timeout", "write_deadline",
            "cores", "gomaxprocs", "connections", "total_connections", "in_msgs", "out_msgs", "in_bytes", "out_bytes",
            "in_client_msgs", "out_client_bytes", "slow_consumers", "stale_connections", "config_digest", "system_account",
            "slow_consumer_stats", "disk_io_wait_stats"]
    ours, theirs = (server.get("/varz") for server in servers)
    assert {key: ours[key] for key in same} == {key: theirs[key] for key in same}
    assert ours["port"] == servers[0].port and ours["http_port"] == servers[0].http_port
    assert ours["subscriptions"] == 4 and ours["mem"] > 1_000_000 and 0 <= ours["cpu"] < 400
    info = servers[0].clients[0].info
    assert ours["server_id"] == info["server_id"] and ours["server_name"] == info["server_name"]
    moment = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,8}[1-9])?Z"
    for key in ("start", "now", "config_load_time"):
        assert re.fullmatch(moment, ours[key]), ours[key]


def test_requests_are_counted(servers):
    before, after = ([server.get("/varz")["http_req_stats"] for server in servers] for _ in range(2))
    for first, second in zip(before, after):
        assert second["/varz"] == first["/varz"] + 1
        assert list(second) == sorted(second)


def test_connz_values(servers):
    same = ["name", "lang", "version", "kind", "type", "ip", "pending_bytes", "in_msgs", "out_msgs", "in_bytes", "out_bytes",
            "subscriptions", "subscriptions_list"]
    ours, theirs = ([{key: one.get(key) for key in same} for one in server.get("/connz?subs=1")["connections"]]
                    for server in servers)
    for one in ours + theirs:
        one["subscriptions_list"] = sorted(one["subscriptions_list"] or [])
    assert ours == theirs
    for server in servers:
        page = server.get("/connz")
        assert [one["port"] for one in page["connections"]] == [client.socket.getsockname()[1] for client in server.clients]
        for one in page["connections"]:
            assert server.get(f"/connz?cid={one['cid']}")["connections"][0]["name"] == one["name"]


def test_subscription_details(servers):
    def details(server):
        lists = [one.get("subscriptions_list_detail", []) for one in server.get("/connz?subs=detail")["connections"]]
        return [sorted(({**entry, "cid": 0} for entry in some), key=lambda entry: entry["subject"]) for some in lists]

    ours, theirs = map(details, servers)
    assert ours == theirs


@pytest.mark.parametrize("order", ["", "cid", "start", "subs", "msgs_to", "msgs_from", "bytes_to", "bytes_from", "uptime",
                                   "last", "idle"])
def test_order(servers, order):
    figure = {"subs": "subscriptions", "msgs_to": "out_msgs", "msgs_from": "in_msgs", "bytes_to": "out_bytes",
              "bytes_from": "in_bytes", "last": "last_activity"}.get(order)
    ours, theirs = (server.get(f"/connz?state=any&sort={order}")["connections"] for server in servers)
    if figure in ("subscriptions", "out_msgs", "in_msgs", "out_bytes", "in_bytes"):
        # Equals come in any order there.
        assert [one[figure] for one in ours] == [one[figure] for one in theirs]
    elif order in ("last", "idle"):
        moments = [one["last_activity"] for one in ours]
        assert moments == sorted(moments, reverse=order == "last")
    else:
        assert [one["name"] for one in ours] == [one["name"] for one in theirs]


def test_closed(servers):
    for server in servers:
        for order in ("cid", "stop", "reason"):
            page = server.get(f"/connz?state=closed&subs=1&sort={order}")
            assert (page["num_connections"], page["total"]) == (1, 1)
            assert page["connections"][0]["name"] == "gone"
            assert page["connections"][0]["subscriptions_list"] == ["left.behind"]


def test_subsz_values(servers):
    for server in servers:
        page = server.get("/subsz?subs=1&acc=$G&test=foo.bar")
        assert page["total"] == 1
        entry = page["subscriptions_list"][0]
        assert (entry["subject"], entry["sid"], entry["msgs"]) == ("foo.*", "1", 3)
        assert server.get("/subsz?test=foo.bar&acc=$G")["total"] == 0
    ours = servers[0].get("/subsz?subs=1")
    assert ours["num_subscriptions"] == ours["total"] == len(ours["subscriptions_list"]) == 4
    assert (ours["num_inserts"], ours["num_removes"], ours["num_matches"]) == (6, 2, 6)
    assert len(servers[0].get("/subsz?subs=1&limit=2")["subscriptions_list"]) == 2
    assert len(servers[0].get("/subsz?subs=1&offset=3")["subscriptions_list"]) == 1


def test_account_values(servers):
    ours, theirs = (server.get("/accstatz")["account_statz"][0] for server in servers)
    for key in ("acc", "name", "conns", "total_conns", "leafnodes", "sent", "received", "slow_consumers"):
        assert ours[key] == theirs[key], key
    assert [one["acc"] for one in servers[0].get("/accstatz?unused=1")["account_statz"]] == ["$G", "$SYS"]
    for server in servers:
        assert sorted(server.get("/accountz")["accounts"]) == ["$G", "$SYS"]
        assert server.get("/accountz?acc=$G")["account_detail"]["client_connections"] == 3


def test_healthz_is_compact(servers):
    for server in servers:
        assert server.request("GET", "/healthz")[2] == '{"status":"ok"}'


def parse_metrics(text):
    """Prometheus's text format 0.0.4: every sample under its HELP and TYPE."""
    types, samples, current = {}, {}, None
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            current = line.split()[2]
            assert current not in types, "a family in two places"
            assert len(line.split(" ", 3)[3]) > 5
        elif line.startswith("# TYPE "):
            _, _, name, what = line.split()
            assert name == current and what in ("counter", "gauge")
            types[name] = what
        else:
            found = re.fullmatch(r'(\w+)(\{(\w+="([^"\\\n]|\\.)*"(,(?=\w))?)+\})? (\S+)', line)
            assert found and found.group(1) == current and current in types, line
            assert found.group(1) + (found.group(2) or "") not in samples, line
            samples[found.group(1) + (found.group(2) or "")] = float(found.group(6))
    return types, samples


def test_metrics(servers):
    server = servers[0]
    status, headers, body = server.request("GET", "/metrics")
    assert status == 200 and headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    types, samples = parse_metrics(body)
    for name, what in types.items():
        assert name.startswith("bellhop_") and (what == "counter") == name.endswith("_total"), name
    varz = server.get("/varz")
    for name, key in [("bellhop_connections", "connections"), ("bellhop_connections_accepted_total", "total_connections"),
                      ("bellhop_messages_in_total", "in_msgs"), ("bellhop_messages_out_total", "out_msgs"),
                      ("bellhop_bytes_in_total", "in_bytes"), ("bellhop_bytes_out_total", "out_bytes")]:
        assert samples[name] == varz[key], name
    assert samples['bellhop_subscriptions{account="$G"}'] == 4
    assert samples['bellhop_slow_consumers_total{kind="pending_bytes"}'] == 0
    loops = [value for name, value in samples.items() if name.startswith("bellhop_loop_messages_in_total{")]
    assert sum(loops) == varz["in_msgs"] and len(loops) == varz["gomaxprocs"]
    again = parse_metrics(server.request("GET", "/metrics")[2])[1]
    for name, value in samples.items():
        if types[name.split("{")[0]] == "counter":
            assert again[name] >= value


def test_keep_alive_and_pipelining(servers):
    for server in servers:
        with contextlib.closing(socket.create_connection(("127.0.0.1", server.http_port), timeout=5)) as plain:
            plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 3 + b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b""
            while some := plain.recv(65536):
                answer += some
            assert answer.count(b'{"status":"ok"}') == 4


CONFIG = """
listen: 127.0.0.1:-1
http: 127.0.0.1:-1
http_base_path: {base}
ports_file_dir: "{directory}"
max_subscriptions: 77
server_name: {name}
authorization {{ users: [{{user: ua, password: pa}}, {{user: ub, password: pb}}], timeout: 1.5 }}
"""


def test_configuration(tmp_path):
    pages = []
    for number, binary in enumerate((BROKERD, NATS_SERVER)):
        directory = tmp_path / str(number)
        directory.mkdir()
        config = CONFIG.format(base="nats", directory=directory, name="tester")
        server = Server(os.path.abspath(binary) if os.sep in binary else binary, directory, config)
        try:
            for _ in range(500):
                if list(directory.glob("*.ports")):
                    break
                time.sleep(0.01)
            ports = json.loads(next(directory.glob("*.ports")).read_text())
            assert ports["monitoring"] == [f"http://127.0.0.1:{server.http_port}"]
            assert server.request("GET", "/varz")[0] == 404 and server.request("GET", "/nats/")[0] == 404
            assert server.request("GET", "/nats")[0] == 200
            varz = server.get("/nats/varz")
            assert varz["http_base_path"] == "nats" and varz["server_name"] == "tester"
            assert varz["http_req_stats"] == {"/": 1, "/varz": 1}
            assert varz["max_subscriptions"] == 77 and varz["auth_timeout"] == 1.5
            assert varz["config_digest"].startswith("sha256:")
            clients = [server.client(user, user=user, **{"pass": "p" + user[1]}) for user in ("ua", "ub")]
            pages.append((varz, server.get("/nats/connz?auth=1"), server.get("/nats/connz?user=ub&auth=1")))
            del clients
        finally:
            server.stop()
    if "auth_required" not in pages[0][0]:
        pytest.skip("brokerd was built without authentication")
    for ours, theirs in zip(*pages):
        ours.pop("http_req_stats", None), theirs.pop("http_req_stats", None)
        compare(ours, theirs, "configured")
    for one, other in zip(pages[0][1]["connections"], pages[1][1]["connections"]):
        assert one["authorized_user"] == other["authorized_user"]
    assert [one["name"] for one in pages[0][2]["connections"]] == ["ub"]


def test_a_taken_port_is_fatal(tmp_path):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        for binary in (BROKERD, NATS_SERVER):
            run = subprocess.run([binary, "-a", "127.0.0.1", "-p", "-1", "-m", port], capture_output=True, timeout=10)
            assert run.returncode != 0
            assert b"[FTL] Can't start monitoring: can't listen to the monitor port" in run.stderr


def test_long_lists_are_whole(tmp_path):
    """More than a loop looks at in one turn: connections, and subscriptions of one connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000), hard))
    server = Server(os.path.abspath(BROKERD), tmp_path)
    try:
        busy = server.client("busy")
        busy.send("".join(f"SUB many.{number} {number}\r\n" for number in range(7_000)))
        page = server.get("/subsz?subs=1&limit=10000")
        assert page["total"] == 7_000
        assert {entry["subject"] for entry in page["subscriptions_list"]} == {f"many.{number}" for number in range(7_000)}
        parts = [server.get(f"/subsz?subs=1&limit=3000&offset={offset}")["subscriptions_list"] for offset in (0, 3_000, 6_000)]
        assert [len(part) for part in parts] == [3_000, 3_000, 1_000]
        assert sum(parts, []) == page["subscriptions_list"]
        assert server.get("/subsz?subs=1&test=many.6999")["subscriptions_list"][0]["sid"] == "6999"
        assert len(server.get("/connz?subs=1")["connections"][0]["subscriptions_list"]) == 7_000

        count = min(6_000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200)
        idle = []
        for _ in range(count):
            idle.append(socket.create_connection(("127.0.0.1", server.port), timeout=10))
        for one in idle:
            one.recv(4096)
        page = server.get("/connz?limit=100000&subs=1")
        assert page["num_connections"] == page["total"] == count + 1
        assert [one["cid"] for one in page["connections"]] == sorted(one["cid"] for one in page["connections"])
        page = server.get("/connz?limit=5&offset=3&sort=uptime")
        assert len(page["connections"]) == 5 and page["total"] == count + 1
        assert server.get("/accstatz")["account_statz"][0]["conns"] == count + 1
        for one in idle:
            one.close()
    finally:
        server.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
