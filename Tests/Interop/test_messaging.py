"""Publish and subscribe, queue groups, headers, requests, drain: between nats-py and libnats, both ways."""

import asyncio

import nats.errors


async def collect(subscription, count, seconds):
    return [await subscription.next_msg(timeout=seconds) for _ in range(count)]


async def test_publish_from_nats_py_to_libnats(t):
    server = await t.broker()
    subscriber = await t.libnats("sub", server, "booking.>", 3)
    client = await t.connect(server)
    for number in range(3):
        await client.publish(f"booking.{number}.confirmed", f"event {number}".encode())
    await t.flush(client)
    assert await t.output(subscriber) == [f"booking.{n}.confirmed event {n}" for n in range(3)]


async def test_publish_from_libnats_to_nats_py(t):
    server = await t.broker()
    client = await t.connect(server)
    subscription = await client.subscribe("booking.*.confirmed")
    await t.flush(client)
    await t.output(await t.libnats("pub", server, "booking.7.confirmed", "hello", 100))
    messages = await collect(subscription, 100, t.seconds(5))
    assert {(m.subject, m.data) for m in messages} == {("booking.7.confirmed", b"hello")}


async def test_wildcards(t):
    server = await t.broker()
    client, publisher = await t.connect(server), await t.connect(server)
    got = {}

    def handler(pattern):
        async def add(message):
            got[pattern].append(message.subject)

        return add

    for pattern in ("a.*", "a.>", "*.b", "a.b", ">", "a.*.c"):
        got[pattern] = []
        await client.subscribe(pattern, cb=handler(pattern))
    await t.flush(client)
    for subject in ("a.b", "a.c", "x.b", "a.b.c", "a", "a.x.c"):
        await publisher.publish(subject, b"")
    await t.flush(publisher)
    await t.until(lambda: sum(map(len, got.values())) >= 17, lambda: f"all messages: {got}")
    await t.flush(client)
    assert got == {
        "a.*": ["a.b", "a.c"], "a.>": ["a.b", "a.c", "a.b.c", "a.x.c"], "*.b": ["a.b", "x.b"], "a.b": ["a.b"],
        ">": ["a.b", "a.c", "x.b", "a.b.c", "a", "a.x.c"], "a.*.c": ["a.b.c", "a.x.c"]}, got


async def test_order_is_kept_from_one_publisher(t):
    server = await t.broker()
    client, publisher = await t.connect(server), await t.connect(server)
    subscription = await client.subscribe("n.*", pending_msgs_limit=-1)
    await t.flush(client)
    for number in range(20_000):
        await publisher.publish(f"n.{number % 7}", str(number).encode())
    await t.flush(publisher)
    messages = await collect(subscription, 20_000, t.seconds(10))
    assert [int(m.data) for m in messages] == list(range(20_000))


async def test_queue_group_shares_and_delivers_once(t):
    server = await t.broker()
    publisher = await t.connect(server)
    got = [[] for _ in range(4)]

    def handler(box):
        async def add(message):
            box.append(int(message.data))

        return add

    for box in got:
        member = await t.connect(server)
        await member.subscribe("jobs.*", queue="workers", cb=handler(box))
        await t.flush(member)
    everyone = await t.connect(server)
    plain = await everyone.subscribe("jobs.>", pending_msgs_limit=-1)
    await t.flush(everyone)
    for number in range(4000):
        await publisher.publish("jobs.x", str(number).encode())
    await t.flush(publisher)
    await t.until(lambda: sum(map(len, got)) >= 4000, "each job at a worker", 10)
    await collect(plain, 4000, t.seconds(5))
    assert sorted(sum(got, [])) == list(range(4000))
    assert all(len(box) > 600 for box in got), f"unfair: {[len(box) for box in got]}"


async def test_headers_reach_libnats_and_come_back(t):
    server = await t.broker()
    subscriber = await t.libnats("sub", server, "h", 1)
    client = await t.connect(server)
    own = await client.subscribe("h")
    await client.publish("h", b"body", headers={"Nats-Msg-Id": "7", "X-Trace": "a b"})
    message = await own.next_msg(timeout=t.seconds(5))
    assert message.headers == {"Nats-Msg-Id": "7", "X-Trace": "a b"}
    (line,) = await t.output(subscriber)
    assert line.startswith("h body") and "[Nats-Msg-Id: 7]" in line and "[X-Trace: a b]" in line, line


async def test_request_from_nats_py_to_libnats(t):
    server = await t.broker()
    await t.libnats("reply", server, "svc", 50)
    client = await t.connect(server)
    answers = await asyncio.gather(*[client.request("svc", str(n).encode(), timeout=t.seconds(5)) for n in range(50)])
    assert [a.data.decode() for a in answers] == [f"re: {n}" for n in range(50)]


async def test_request_from_libnats_to_nats_py(t):
    server = await t.broker()
    client = await t.connect(server)

    async def answer(message):
        await message.respond(b"yes, " + message.data)

    await client.subscribe("svc", cb=answer)
    await t.flush(client)
    (line,) = await t.output(await t.libnats("request", server, "svc", "really?"))
    assert line.endswith(" yes, really?"), line


async def test_no_responders(t):
    server = await t.broker()
    client = await t.connect(server)
    for _ in range(100):
        try:
            await client.request("nobody", b"", timeout=t.seconds(5))
            raise AssertionError("an answer from nobody")
        except nats.errors.NoRespondersError:
            pass
    lines = await t.output(await t.libnats("request", server, "nobody", "x"))
    assert lines == ["error: request: No responders available for request"], lines


async def test_old_style_requests(t):
    server = await t.broker()
    client, service = await t.connect(server), await t.connect(server)

    async def answer(message):
        await message.respond(message.data)

    await service.subscribe("svc", cb=answer)
    await t.flush(service)
    for number in range(200):
        reply = await client.request("svc", str(number).encode(), timeout=t.seconds(5), old_style=True)
        assert reply.data == str(number).encode()


async def test_auto_unsubscribe(t):
    server = await t.broker()
    client, publisher = await t.connect(server), await t.connect(server)
    got = []

    async def add(message):
        got.append(message.data)

    subscription = await client.subscribe("limited", cb=add)
    await subscription.unsubscribe(limit=3)
    await t.flush(client)
    for number in range(10):
        await publisher.publish("limited", str(number).encode())
    await t.flush(publisher)
    await t.until(lambda: len(got) >= 3, "three messages")
    await t.flush(client)
    assert got == [b"0", b"1", b"2"], got


async def test_drain_of_nats_py_loses_nothing(t):
    server = await t.broker()
    client, publisher = await t.connect(server), await t.connect(server)
    got = []

    async def slow(message):
        got.append(int(message.data))
        await asyncio.sleep(0)

    await client.subscribe("d", cb=slow, pending_msgs_limit=-1)
    await t.flush(client)
    for number in range(2000):
        await publisher.publish("d", str(number).encode())
    await t.flush(publisher)
    await client.drain()
    assert client.is_closed
    assert got == list(range(len(got))) and len(got) == 2000, len(got)


async def test_drain_of_libnats(t):
    server = await t.broker()
    drainer = await t.libnats("drain", server, "d", 0)
    client = await t.connect(server)
    for _ in range(1000):
        await client.publish("d", b"x")
    await t.flush(client)
    (line,) = await t.output(drainer)
    assert line.startswith("drained ") and 1 <= int(line.split()[1]) <= 1000, line


async def test_large_payloads(t):
    server = await t.broker()
    client, publisher = await t.connect(server), await t.connect(server)
    subscription = await client.subscribe("big", pending_bytes_limit=-1)
    await t.flush(client)
    sizes = [0, 1, 4095, 4096, 65_535, 65_536, 500_000, 1_048_576]
    for size in sizes:
        await publisher.publish("big", bytes([size % 251]) * size)
    await t.flush(publisher)
    for size, message in zip(sizes, await collect(subscription, len(sizes), t.seconds(5))):
        assert message.data == bytes([size % 251]) * size, size


async def test_max_payload(t):
    server = await t.broker(config="max_payload: 1000\n")
    client = await t.connect(server)
    assert client.max_payload == 1000
    subscription = await client.subscribe("p")
    await client.publish("p", b"x" * 1000)
    assert len((await subscription.next_msg(timeout=t.seconds(5))).data) == 1000
    try:
        await client.publish("p", b"x" * 1001)
        raise AssertionError("1001 bytes were let through")
    except nats.errors.MaxPayloadError:
        pass


async def test_two_thousand_subscriptions(t):
    server = await t.broker()
    client, publisher = await t.connect(server), await t.connect(server)
    got = []

    async def add(message):
        got.append(message.subject)

    for number in range(2000):
        await client.subscribe(f"many.{number}", cb=add)
    await t.flush(client)
    for number in range(2000):
        await publisher.publish(f"many.{number}", b"")
    await t.flush(publisher)
    await t.until(lambda: len(got) >= 2000, "all messages", 10)
    assert sorted(got) == sorted(f"many.{n}" for n in range(2000))
