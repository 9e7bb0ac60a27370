"""What the tests of keyed consumers share: a broker with such a consumer, and requests about its keys."""

import json

from jetstream import start
from nats.js import api as types


async def keyed(t, metadata=None, flags=(), **config):
    """A broker, a client, a stream S on s.>, and a consumer c that is keyed by the subject's second token."""
    server = await start(t, *flags)
    client = await t.connect(server)
    js = client.jetstream()
    await js.add_stream(name="S", subjects=["s.>"])
    config.setdefault("ack_wait", 2)
    await js.add_consumer("S", types.ConsumerConfig(
        durable_name="c", ack_policy=types.AckPolicy.EXPLICIT,
        metadata={"bellhop.key": "token:2", **(metadata or {})}, **config))
    pull = await js.pull_subscribe_bind("c", stream="S")
    return server, client, js, pull


async def key(t, client, operation, body=None, consumer="S.c"):
    """One request to $BELLHOP.API.KEY."""
    message = await client.request(
        f"$BELLHOP.API.KEY.{operation}.{consumer}", json.dumps(body or {}).encode(), timeout=t.seconds(5))
    return json.loads(message.data)


def sequences(messages):
    return [message.metadata.sequence.stream for message in messages]
