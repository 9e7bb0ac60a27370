"""Shows one booking event on its way: a C program (libnats) subscribes, nats-py publishes BookingConfirmed; then the
C program publishes and nats-py receives."""

import asyncio
import json
import os
import sys

import nats

CLIENT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), ".venv", "bin", "libnats_client")
CONFIRMED = {"event": "BookingConfirmed", "booking": 7, "guest": "Ada Lovelace", "nights": 2}
PREPARED = {"event": "RoomPrepared", "booking": 7, "room": "204"}


async def run_client(url, *args):
    return await asyncio.create_subprocess_exec(CLIENT, args[0], url, *args[1:], stdout=asyncio.subprocess.PIPE)


async def main(url):
    python = await nats.connect(url, connect_timeout=5)
    subscriber = await run_client(url, "sub", "booking.>", "1")
    if await subscriber.stdout.readline() != b"ready\n":
        sys.exit("demonstration: the libnats client could not subscribe")
    print("libnats  subscribed to booking.>")
    await python.publish("booking.7.confirmed", json.dumps(CONFIRMED).encode())
    print(f"nats-py  published  booking.7.confirmed {json.dumps(CONFIRMED)}")
    line = (await asyncio.wait_for(subscriber.stdout.readline(), 5)).decode().strip()
    print(f"libnats  received   {line}")
    await subscriber.wait()
    received = await python.subscribe("booking.7.prepared")
    await python.flush()
    publisher = await run_client(url, "pub", "booking.7.prepared", json.dumps(PREPARED))
    print(f"libnats  published  booking.7.prepared {json.dumps(PREPARED)}")
    message = await received.next_msg(timeout=5)
    print(f"nats-py  received   {message.subject} {message.data.decode()}")
    await publisher.wait()
    await python.close()
    if json.loads(line.split(" ", 1)[1]) != CONFIRMED or json.loads(message.data) != PREPARED:
        sys.exit("demonstration: what arrived is not what was sent")


asyncio.run(main(sys.argv[1]))
