"""What an operator asks about streams: /healthz, /jsz, limits of accounts, and what the API has counted."""

import asyncio
import json
import os

import nats.js.errors as errors
from jetstream import fill, raises, start


async def get(server, target):
    """Status and JSON of a monitoring page."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.http_port)
    writer.write(f"GET {target} HTTP/1.0\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), json.loads(body)


async def test_health_of_streams_and_consumers(t):
    server = await start(t, "-m", "-1")
    js = (await t.connect(server)).jetstream()
    await js.add_stream(name="S", subjects=["s"])
    await js.pull_subscribe("s", "C")
    for target, status, error in [
        ("/healthz", 200, None),
        ("/healthz?js-enabled-only=true", 200, None),
        ("/healthz?account=A", 404, 'JetStream account "A" not found'),
        ("/healthz?account=$G&stream=S", 200, None),
        ("/healthz?account=$G&stream=x", 404, 'JetStream stream "x" not found on account "$G"'),
        ("/healthz?account=$G&stream=S&consumer=C", 200, None),
        ("/healthz?account=$G&stream=S&consumer=x", 404,
         'JetStream consumer "x" not found for stream "S" on account "$G"'),
    ]:
        found, page = await get(server, target)
        assert (found, page.get("error")) == (status, error), (target, found, page)
    page = (await get(server, "/healthz?details=true&account=$G&stream=x"))[1]
    assert page["status"] == "error" and page["errors"][0]["type"] == "STREAM", page


async def test_jsz_adds_up(t):
    server = await start(t, "-m", "-1")
    js = (await t.connect(server)).jetstream()
    await js.add_stream(name="FILED", subjects=["filed"])
    await js.add_stream(name="HELD", subjects=["held"], storage="memory")
    await js.pull_subscribe("filed", "C")
    await fill(js, ["filed"] * 5 + ["held"] * 3)
    page = (await get(server, "/jsz?accounts=1&streams=1&consumers=1&config=1"))[1]
    assert (page["streams"], page["consumers"], page["messages"]) == (2, 1, 8), page
    assert page["bytes"] == page["memory"] + page["storage"] and page["memory"] > 0 and page["storage"] > 0, page
    streams = {stream["name"]: stream for stream in page["account_details"][0]["stream_detail"]}
    assert streams["FILED"]["state"]["messages"] == 5 and streams["HELD"]["state"]["messages"] == 3, streams
    assert streams["FILED"]["consumer_detail"][0]["num_pending"] == 5, streams
    assert streams["HELD"]["config"]["storage"] == "memory", streams


async def test_limits_of_an_account_hold(t):
    path = os.path.join(t.folder.name, "limits.conf")
    with open(path, "w") as file:
        file.write("""jetstream {}
            accounts { A { users: [{user: a, password: a}], jetstream { max_file: 1000, max_mem: 600, max_streams: 2 } } }""")
    server = await start(t, "-c", path)
    js = (await t.connect(server, user="a", password="a")).jetstream()
    for kind, stored in (("file", 11), ("memory", 8)):
        await js.add_stream(name=kind, subjects=[kind], storage=kind)
        for _ in range(stored):
            await js.publish(kind, b"x" * (50 if kind == "file" else 44 + 4 - len(kind) + 2))
        error = await raises(errors.APIError, js.publish(kind, b"x" * 200))
        assert error.err_code == 10002, error
        assert (await js.stream_info(kind)).state.messages == stored
        await js.purge_stream(kind)
        assert (await js.publish(kind, b"x")).seq == stored + 1
    assert (await raises(errors.APIError, js.add_stream(name="third"))).err_code == 10027
    info = await js.account_info()
    assert (info.streams, info.limits.max_storage, info.limits.max_memory) == (2, 1000, 600), info
