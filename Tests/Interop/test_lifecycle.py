"""How brokers end and clients come back: SIGTERM, kill -9, lame duck, slow consumers, limits."""

import asyncio
import signal
import socket

from broker import StartFailed


async def test_terminates_cleanly(t):
    for number in (signal.SIGTERM, signal.SIGINT):
        server = await t.broker()
        client = await t.connect(server, allow_reconnect=False)
        server.signal(number)
        code = await asyncio.to_thread(server.wait, t.seconds(5))
        assert code in (0, 1, -number), code
        await t.until(lambda: client.is_closed, "the client notices")  # noqa: B023


async def test_reconnects_after_kill(t):
    server = await t.broker()
    back = asyncio.Event()

    async def on_reconnect():
        back.set()

    client = await t.connect(server, reconnect_time_wait=0.05, max_reconnect_attempts=-1, reconnected_cb=on_reconnect)
    stay = await t.libnats("stay", server)
    got = []

    async def add(message):
        got.append(message.data)

    await client.subscribe("again", cb=add)
    await t.flush(client)
    port = server.port
    await asyncio.to_thread(server.kill)
    assert await t.line(stay) == "disconnected"
    again = await t.broker(port=port)
    await asyncio.wait_for(back.wait(), t.seconds(10))
    assert await t.line(stay) == "reconnected"
    await t.flush(client)
    publisher = await t.connect(again)
    await publisher.publish("again", b"x")
    await t.until(lambda: got == [b"x"], "a message over the new connection")


async def test_lame_duck(t):
    server = await t.broker(config='lame_duck_grace_period: "300ms"\nlame_duck_duration: "30s"\n')
    stay = await t.libnats("stay", server)
    client = await t.connect(server, allow_reconnect=False)
    server.signal(signal.SIGUSR2)
    assert await t.line(stay) == "lame duck"
    await t.until(lambda: client.is_closed, "the client is let go", 35)
    code = await asyncio.to_thread(server.wait, t.seconds(35))
    assert code == 0, code


async def test_slow_consumer_is_cut_and_others_are_not(t):
    server = await t.broker(config='max_pending: 1MB\nmax_payload: 100KB\nwrite_deadline: "2s"\n')
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.settimeout(t.seconds(10))
    slow.connect(("127.0.0.1", server.port))
    slow.sendall(b'CONNECT {"verbose":false}\r\nSUB flood 1\r\nPING\r\n')
    text = b""
    while not text.endswith(b"PONG\r\n"):
        text += slow.recv(4096)
    fast, publisher = await t.connect(server), await t.connect(server)
    keeps_up = []

    async def add(message):
        keeps_up.append(len(message.data))

    await fast.subscribe("flood", cb=add, pending_msgs_limit=-1, pending_bytes_limit=-1)
    await t.flush(fast)
    sent = 0
    while not any("Slow Consumer" in line for line in server.lines):
        assert sent < 1000, "100 MB sent and the slow consumer is still there"
        for _ in range(5):
            await publisher.publish("flood", b"x" * 100_000)
            sent += 1
        await t.flush(publisher)
    await t.until(lambda: len(keeps_up) == sent, "the fast subscriber has all", 10)
    try:
        while await asyncio.to_thread(slow.recv, 1 << 20):
            pass
    except ConnectionError:
        pass
    slow.close()
    assert fast.is_connected and publisher.is_connected


async def test_stale_connection_is_cut(t):
    server = await t.broker(config='ping_interval: "200ms"\nping_max: 2\n')
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b'CONNECT {"verbose":false}\r\n')
    text = b""
    while b"-ERR 'Stale Connection'\r\n" not in text:
        chunk = await asyncio.wait_for(reader.read(4096), t.seconds(10))
        assert chunk, text
        text += chunk
    writer.close()
    polite = await t.connect(server)
    await asyncio.sleep(1.5)  # several ping intervals: the one test that must let time pass
    assert polite.is_connected


async def test_maximum_connections(t):
    server = await t.broker(config="max_connections: 3\n")
    clients = [await t.connect(server) for _ in range(3)]
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    text = await asyncio.wait_for(reader.read(), t.seconds(5))
    assert b"-ERR 'maximum connections exceeded'\r\n" in text, text
    writer.close()
    await clients[0].close()
    deadline = asyncio.get_running_loop().time() + t.seconds(5)
    while True:
        try:
            await t.connect(server, allow_reconnect=False)
            break
        except Exception:
            assert asyncio.get_running_loop().time() < deadline, "no place after one has left"


async def test_taken_port_and_bad_configuration_fail_the_start(t):
    server = await t.broker()
    for args, text in (((), "port"), (("-c", t.config("port: {", "bad.conf")), "")):
        try:
            await t.broker(*args, port=server.port)
            raise AssertionError("started")
        except StartFailed as error:
            assert text in str(error).lower() and ("[FTL]" in str(error) or "bad.conf" in str(error)), str(error)


async def test_monitoring_counts(t):
    server = await t.broker("-m", "-1")
    client = await t.connect(server)
    subscription = await client.subscribe("m")
    for _ in range(10):
        await client.publish("m", b"12345")
    for _ in range(10):
        await subscription.next_msg(timeout=t.seconds(5))
    assert server.http_port, "no monitoring port in the log"

    async def get(path):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.http_port)
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        text = await asyncio.wait_for(reader.read(), t.seconds(5))
        writer.close()
        assert b" 200 " in text.split(b"\r\n")[0], text[:200]
        import json

        return json.loads(text.split(b"\r\n\r\n", 1)[1])

    varz, connz = await get("/varz"), await get("/connz?subs=1")
    assert (varz["in_msgs"], varz["out_msgs"], varz["in_bytes"]) == (10, 10, 50), varz
    (connection,) = connz["connections"]
    assert connection["subscriptions_list"] == ["m"] and connection["in_msgs"] == 10, connection
