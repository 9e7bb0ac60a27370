"""What is built on streams, with nats-py: key-value buckets, object stores; and services, which need none."""

import asyncio
import hashlib
import io

import nats.js.errors as errors
import nats.micro
from jetstream import raises, start
from nats.js import api as types


async def bucket(t, **config):
    server = await start(t)
    js = (await t.connect(server)).jetstream()
    return server, js, await js.create_key_value(bucket="B", **config)


async def test_put_get_and_revisions(t):
    server, _, kv = await bucket(t, history=5)
    assert [await kv.put("a", b"%d" % n) for n in range(3)] == [1, 2, 3]
    await kv.put("b.c", b"x")
    entry = await kv.get("a")
    assert (entry.value, entry.revision) == (b"2", 3)
    assert (await kv.get("a", revision=1)).value == b"0"
    await raises(errors.KeyNotFoundError, kv.get("none"))
    assert sorted(await kv.keys()) == ["a", "b.c"]
    assert [e.value for e in await kv.history("a")] == [b"0", b"1", b"2"]
    await asyncio.to_thread(server.stop)
    again = await (await t.connect(await start(t))).jetstream().key_value("B")
    assert (await again.get("b.c")).value == b"x"
    status = await again.status()
    assert (status.values, status.history) == (4, 5), status


async def test_create_and_update_compare(t):
    _, _, kv = await bucket(t)
    assert await kv.create("k", b"1") == 1
    await raises(errors.KeyWrongLastSequenceError, kv.create("k", b"2"))
    assert await kv.update("k", b"2", last=1) == 2
    await raises(errors.KeyWrongLastSequenceError, kv.update("k", b"3", last=1))
    assert await kv.delete("k")
    await raises(errors.KeyNotFoundError, kv.get("k"))
    assert await kv.create("k", b"4") == 4


async def test_delete_and_purge_leave_markers(t):
    _, _, kv = await bucket(t, history=8)
    for key in ("a", "b"):
        for n in range(3):
            await kv.put(key, b"%d" % n)
    await kv.delete("a")
    await kv.purge("b")
    assert [e.operation for e in await kv.history("a")] == [None, None, None, "DEL"]
    assert [e.operation for e in await kv.history("b")] == ["PURGE"]
    await raises(errors.NoKeysError, kv.keys())


async def test_watch(t):
    _, _, kv = await bucket(t)
    await kv.put("x.1", b"old")
    watcher = await kv.watch("x.*")
    first = await watcher.updates(timeout=t.seconds(5))
    assert (first.key, first.value) == ("x.1", b"old")
    assert await watcher.updates(timeout=t.seconds(5)) is None  # all that was there
    await kv.put("y.1", b"other")
    await kv.put("x.2", b"new")
    await kv.delete("x.1")
    second, third = await watcher.updates(timeout=t.seconds(5)), await watcher.updates(timeout=t.seconds(5))
    assert (second.key, second.value, third.key, third.operation) == ("x.2", b"new", "x.1", "DEL")
    await watcher.stop()


async def test_values_age_out(t):
    _, _, kv = await bucket(t, ttl=1)
    await kv.put("brief", b"x")
    assert (await kv.get("brief")).value == b"x"
    deadline = asyncio.get_running_loop().time() + t.seconds(10)
    while True:
        try:
            await kv.get("brief")
        except errors.KeyNotFoundError:
            break
        assert asyncio.get_running_loop().time() < deadline, "it outlives its time"
        await asyncio.sleep(0.05)


async def test_many_keys(t):
    _, js, kv = await bucket(t)
    for n in range(2000):
        await js.publish_async(f"$KV.B.key.{n}", b"%d" % n)
    await asyncio.wait_for(js.publish_async_completed(), t.seconds(30))
    assert len(await kv.keys()) == 2000
    assert (await kv.get("key.1999")).value == b"1999"


async def test_buckets_come_and_go(t):
    _, js, kv = await bucket(t, direct=True)
    await kv.put("k", b"v")
    assert (await kv.get("k")).value == b"v"
    await js.create_key_value(bucket="OTHER", storage=types.StorageType.MEMORY)
    assert await js.delete_key_value("OTHER")
    await raises(errors.BucketNotFoundError, js.key_value("OTHER"))
    info = await js.stream_info("KV_B")
    assert info.config.discard == types.DiscardPolicy.NEW and info.config.allow_direct, info.config


async def test_objects(t):
    server = await start(t)
    js = (await t.connect(server)).jetstream()
    store = await js.create_object_store("O")
    data = bytes(range(256)) * 2000  # four chunks
    info = await store.put("picture", data)
    assert info.size == len(data) and info.chunks == 4, info
    await store.put("empty", b"")
    result = await store.get("picture")
    assert hashlib.sha256(result.data).digest() == hashlib.sha256(data).digest()
    await store.put("picture", io.BytesIO(b"smaller"))  # replaces, and purges the old chunks
    assert (await store.get("picture")).data == b"smaller"
    assert sorted(entry.name for entry in await store.list()) == ["empty", "picture"]
    await asyncio.to_thread(server.stop)
    js = (await t.connect(await start(t))).jetstream()
    store = await js.object_store("O")
    assert (await store.get("picture")).data == b"smaller"
    await store.delete("picture")
    await raises(errors.ObjectNotFoundError, store.get("picture"))
    assert (await store.status()).size > 0
    await store.seal()
    await raises(errors.APIError, store.put("more", b"x"))
    assert await js.delete_object_store("O")


async def test_object_watch(t):
    js = (await t.connect(await start(t))).jetstream()
    store = await js.create_object_store("O")
    await store.put("one", b"1")
    watcher = await store.watch(include_history=True)
    assert (await watcher.updates(timeout=t.seconds(5))).name == "one"
    assert await watcher.updates(timeout=t.seconds(5)) is None
    await store.put("two", b"2")
    assert (await watcher.updates(timeout=t.seconds(5))).name == "two"
    await watcher.stop()


async def test_services(t):
    server = await t.broker()
    client, caller = await t.connect(server), await t.connect(server)

    async def echo(request):
        await request.respond(b"re: " + request.data)

    async def fail(request):
        await request.respond_error("418", "teapot", data=b"")

    services = []
    for owner in (client, caller):
        service = await nats.micro.add_service(owner, name="echo", version="1.2.3")
        await service.add_endpoint(name="echo", handler=echo)
        await service.add_group(name="bad").add_endpoint(name="fail", handler=fail)
        services.append(service)
    await t.flush(client)
    for number in range(50):
        answer = await caller.request("echo", b"%d" % number, timeout=t.seconds(5))
        assert answer.data == b"re: %d" % number
    error = await caller.request("bad.fail", b"", timeout=t.seconds(5))
    assert error.headers["Nats-Service-Error-Code"] == "418", error.headers
    handled = [service.stats().endpoints[0].num_requests for service in services]
    assert sum(handled) == 50 and min(handled) > 0, handled
    for verb in ("PING", "INFO", "STATS"):
        answers = await caller.subscribe(f"answers.{verb}")
        await caller.publish(f"$SRV.{verb}.echo", b"", reply=f"answers.{verb}")
        texts = [(await answers.next_msg(timeout=t.seconds(5))).data for _ in range(2)]
        assert all(b'"name": "echo"' in text or b'"name":"echo"' in text for text in texts), texts
    for service in services:
        await service.stop()
