"""Stands in for the conftest.py that the nats-core, nats-jetstream and nats-key-value archives lack."""

import os

import pytest_asyncio
from nats.client import connect
from nats.server import run


@pytest_asyncio.fixture
async def server():
    jetstream = os.environ["CONFORMANCE_SUITE"] != "nats-core"
    server = await run(port=0, jetstream=jetstream)
    yield server
    await server.shutdown()


@pytest_asyncio.fixture
async def client(server):
    client = await connect(server.client_url, timeout=2.0)
    yield client
    await client.close()


@pytest_asyncio.fixture
async def jetstream(client):
    from nats.jetstream import new

    return new(client)
