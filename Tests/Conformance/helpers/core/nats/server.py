"""Stands in for the clients' own `nats.server` helper, which no archive has: runs one server for a test."""

import asyncio
import shutil
import tempfile

import broker
import pytest


class Server:
    """A running server; `shutdown()` may be called twice."""

    def __init__(self, process, store):
        self._process = process
        self._store = store
        self.port = process.port
        self.client_url = process.url

    async def shutdown(self):
        process, self._process = self._process, None
        if process:
            await asyncio.to_thread(process.stop)
        if self._store:
            shutil.rmtree(self._store, ignore_errors=True)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.shutdown()


async def run(*, host="127.0.0.1", port=0, config_path=None, jetstream=False, timeout=5.0):
    """Starts a server; port 0 takes any free one."""
    args = ["-a", host]
    store = None
    if config_path:
        args += ["-c", str(config_path)]
    if jetstream:
        store = tempfile.mkdtemp(prefix="conformance-")
        args += ["-js", "-sd", store]
    process = await asyncio.to_thread(
        broker.Broker, *args, port=port or -1, timeout=max(timeout, 10.0))
    return Server(process, store)


async def run_cluster(**_):
    pytest.skip("needs a cluster")
