"""Stands in for nats-py's own `tests/utils.py`, which its archive lacks: servers on the ports its tests expect."""

import asyncio
import functools
import os
import shutil
import ssl
import tempfile
import unittest

import broker
import nats  # noqa: F401  (the tests take it from here by `import *`)

TESTS = os.path.dirname(os.path.abspath(__file__))


def get_config_file(path):
    """The absolute path of a file that lies beside the tests."""
    return os.path.join(TESTS, path)


def _in_loop(function, seconds):
    @functools.wraps(function)
    def run(case, *args, **kwargs):
        async def limited():
            await asyncio.wait_for(function(case, *args, **kwargs), seconds)

        asyncio.run(limited())

    return run


def async_test(function):
    """Runs a coroutine test in a loop of its own."""
    return _in_loop(function, 30)


def async_long_test(function):
    """Likewise, for tests that take longer."""
    return _in_loop(function, 50)


class Server:
    """A server that can be stopped and started again on the same ports with the same store."""

    def __init__(self, port, *args, http_port=None, jetstream=False):
        self.port = port
        self.http_port = http_port
        self.store = tempfile.mkdtemp(prefix="conformance-") if jetstream else None
        self.args = list(args)
        if http_port:
            self.args += ["-m", str(http_port)]
        if jetstream:
            self.args += ["-js", f"-sd={self.store}"]
        self.broker = None

    def start(self):
        self.broker = broker.Broker("-a", "127.0.0.1", *self.args, port=self.port)

    def stop(self):
        if self.broker:
            self.broker.stop()
            self.broker = None

    def discard(self):
        self.stop()
        if self.store:
            shutil.rmtree(self.store, ignore_errors=True)


class ServerCase(unittest.TestCase):
    """Starts `servers()` before each test and stops them after it."""

    def servers(self):
        raise NotImplementedError

    def setUp(self):
        self.server_pool = []
        self.loop = asyncio.new_event_loop()
        self.addCleanup(self.loop.close)
        for server in self.servers():
            self.server_pool.append(server)
            self.addCleanup(server.discard)
            server.start()


class SingleServerTestCase(ServerCase):
    def servers(self):
        return [Server(4222, http_port=8222)]


class MultiServerAuthTestCase(ServerCase):
    def servers(self):
        return [
            Server(4223, "--user", "foo", "--pass", "bar", http_port=8223),
            Server(4224, "--user", "hoge", "--pass", "fuga", http_port=8224),
        ]


class MultiServerAuthTokenTestCase(ServerCase):
    def servers(self):
        return [
            Server(4223, "-auth=token", http_port=8223),
            Server(4224, "-auth=token", http_port=8224),
            Server(4225, "-auth=another", http_port=8225),
        ]


def client_context():
    """A TLS context that trusts our authority and presents our client certificate."""
    context = ssl.create_default_context(purpose=ssl.Purpose.SERVER_AUTH, cafile=get_config_file("certs/ca.pem"))
    context.load_cert_chain(get_config_file("certs/client-cert.pem"), get_config_file("certs/client-key.pem"))
    return context


class TLSCase(ServerCase):
    def setUp(self):
        self.ssl_ctx = client_context()
        super().setUp()


def tls_flags():
    certs = get_config_file("certs")
    return ["--tls", f"--tlscert={certs}/signed-cert.pem", f"--tlskey={certs}/signed-key.pem",
            f"--tlscacert={certs}/ca.pem", "--tlsverify"]


class TLSServerTestCase(TLSCase):
    def servers(self):
        return [Server(4224, *tls_flags())]


class TLSServerHandshakeFirstTestCase(TLSCase):
    def servers(self):
        return [Server(4224, "-c", get_config_file("configs/tls_first.conf"))]


class MultiTLSServerAuthTestCase(TLSCase):
    def servers(self):
        return [
            Server(4223, "--user", "foo", "--pass", "bar", *tls_flags()),
            Server(4224, "--user", "hoge", "--pass", "fuga", *tls_flags()),
        ]


class NeedsCluster(unittest.TestCase):
    def setUp(self):
        self.skipTest("needs a cluster")


class ClusteringTestCase(NeedsCluster):
    pass


class ClusteringDiscoveryAuthTestCase(NeedsCluster):
    pass


class NkeysServerTestCase(ServerCase):
    def servers(self):
        return [Server(4222, "-c", get_config_file("configs/nkeys.conf"))]


class TrustedServerTestCase(ServerCase):
    def servers(self):
        return [Server(4222, "-c", get_config_file("configs/server_auth_jwt.conf"))]


class NoAuthUserServerTestCase(ServerCase):
    def servers(self):
        return [Server(4555, "-c", get_config_file("configs/no_auth_user.conf"))]


class SingleJetStreamServerTestCase(ServerCase):
    def servers(self):
        return [Server(4222, http_port=8222, jetstream=True)]


class SingleJetStreamServerLimitsTestCase(ServerCase):
    def servers(self):
        return [Server(4222, "-c", get_config_file("configs/js_limits.conf"), jetstream=True)]


class SingleWebSocketServerTestCase(ServerCase):
    def servers(self):
        return [Server(4222, "-c", get_config_file("configs/ws.conf"))]


class SingleWebSocketTLSServerTestCase(TLSCase):
    def servers(self):
        return [Server(4222, "-c", get_config_file("configs/ws_tls.conf"))]
