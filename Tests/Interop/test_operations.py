"""What an operator sees and sets: ports file, protocol trace, limits raised by a reload, reasons of closed connections."""

import asyncio
import json
import os
import socket

import broker


def spoken(port, data, connect=b'{"verbose":false}'):
    """What a raw connection gets in answer to `data`, up to the PONG of a last PING or the server's close."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"CONNECT " + connect + b"\r\n" + data + b"PING\r\n")
        text = b""
        while not text.endswith(b"PONG\r\n"):
            chunk = connection.recv(4096)
            if not chunk:
                break
            text += chunk
        return text


async def get(t, server, path):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.http_port)
    writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    text = await asyncio.wait_for(reader.read(), t.seconds(5))
    writer.close()
    return json.loads(text.split(b"\r\n\r\n", 1)[1])


async def test_ports_file_is_named_after_the_program(t):
    folder = t.folder.name
    link = os.path.join(folder, "my-broker")
    os.symlink(broker.executable(), link)
    server = await t.broker("--ports_file_dir", folder, program=link)
    path = os.path.join(folder, f"my-broker_{server.pid}.ports")
    await t.until(lambda: os.path.exists(path) and os.path.getsize(path), "the ports file")
    with open(path) as file:
        assert json.load(file)["nats"] == [server.url]
    await asyncio.to_thread(server.stop)
    assert not os.path.exists(path)


async def test_a_ports_file_that_cannot_be_written_is_only_logged(t):
    missing = os.path.join(t.folder.name, "missing")
    server = await t.broker("--ports_file_dir", missing)
    await asyncio.to_thread(server.wait_log, f"Error writing ports file ({missing}/", t.seconds(5))
    assert (await t.connect(server)).is_connected


async def test_traces_show_clients_of_every_account(t):
    """Those of the system account, too: what -VV adds are the server's own clients of that account."""
    text = 'accounts { $SYS { users: [ { user: sys, password: p } ] }, A { users: [ { user: a, password: p } ] } }\n'
    for flag in ("-V", "-VV"):
        server = await t.broker(flag, config=text)
        for name in ("sys", "a"):
            said = json.dumps({"verbose": False, "user": name, "pass": "p"}).encode()
            answer = await asyncio.to_thread(spoken, server.port, b"PUB traced.%s 1\r\nx\r\n" % name.encode(), said)
            assert b"PONG" in answer, answer
        await asyncio.to_thread(server.wait_log, "<<- [PUB traced.a 1]", t.seconds(5))
        assert "<<- [PUB traced.sys 1]" in server.log, (flag, server.log)


async def test_max_connections_raised_by_a_reload(t):
    """Beyond what the start foresaw, with a soft descriptor limit that is too low for it."""
    limited = t.config(f'#!/bin/sh\nulimit -Sn 256\nexec "{broker.executable()}" "$@"\n', "limited.sh")
    os.chmod(limited, 0o755)
    server = await t.broker(config="max_connections: 10\n", program=limited)
    t.config("max_connections: 3000\n")
    await asyncio.to_thread(server.reload, t.seconds(5))
    sockets = []
    try:
        for _ in range(1400):
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=t.seconds(10))
            sockets.append(connection)
        for connection in sockets:
            connection.sendall(b'CONNECT {"verbose":false}\r\nPING\r\n')
        for connection in sockets:
            text = b""
            while b"PONG\r\n" not in text:
                chunk = connection.recv(4096)
                assert chunk, text
                text += chunk
    finally:
        for connection in sockets:
            connection.close()


async def test_max_connections_of_zero_lets_nobody_in(t):
    server = await t.broker("-m", "-1", config="max_connections: 0\n")
    assert (await get(t, server, "/varz"))["max_connections"] == -1
    with socket.create_connection(("127.0.0.1", server.port), timeout=t.seconds(5)) as connection:
        text = b""
        while chunk := connection.recv(4096):
            text += chunk
    assert text.endswith(b"-ERR 'maximum connections exceeded'\r\n"), text


async def test_reasons_of_closed_connections(t):
    server = await t.broker("-m", "-1", config="max_payload: 100\nmax_control_line: 200\n")
    cases = ((b"FOO\r\n", "Protocol Violation"), (b"PUB foo x\r\n", "Protocol Violation"),
             (b"SUB a b c d\r\n", "Protocol Violation"), (b"INFO x\r\n", "Protocol Violation"),
             (b"CONNECT {x\r\n", "Protocol Violation"), (b"PUB foo 101\r\n", "Maximum Message Payload Exceeded"),
             (b"SUB " + b"x" * 300 + b" 1\r\n", "Maximum Control Line Exceeded"))
    for number, (data, reason) in enumerate(cases):
        try:
            await asyncio.to_thread(spoken, server.port, data)
        except ConnectionError:
            pass  # it closed while the last PING was on its way
        page = {"total": 0}
        for _ in range(400):
            page = await get(t, server, "/connz?state=closed&sort=cid&limit=100")
            if page["total"] > number:
                break
            await asyncio.sleep(t.seconds(0.01))
        assert page["connections"][-1]["reason"] == reason, (data, page["connections"][-1])
