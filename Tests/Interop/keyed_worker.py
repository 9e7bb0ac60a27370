"""One worker of the keyed test, a process of its own: takes events from the consumer `pool` of the stream BOOKINGS with plain
nats-py, appends each that it handled to a file, and acks it.

    keyed_worker.py URL FILE FIXED

A line is `<monotonic ns> <booking> <event>`. Poison bookings fail at event 5 until the file FIXED exists. The process is meant to
be killed at any moment: what it wrote is all that counts.
"""

import asyncio
import os
import sys
import time

import nats
import nats.errors

URL, FILE, FIXED = sys.argv[1:4]


async def main():
    lost = asyncio.Event()

    async def disconnected():
        lost.set()

    async def ignore(_error):
        pass

    client = await nats.connect(
        URL, max_reconnect_attempts=-1, reconnect_time_wait=0.05, allow_reconnect=True, disconnected_cb=disconnected,
        error_cb=ignore)
    pull = await client.jetstream().pull_subscribe_bind("pool", stream="BOOKINGS")
    out = os.open(FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    while True:
        lost.clear()
        try:
            batch = await pull.fetch(16, timeout=1)
        except (nats.errors.Error, asyncio.TimeoutError, OSError):
            await asyncio.sleep(0.01)
            continue
        for message in batch:
            # What was fetched over a connection that is gone may be another worker's by now.
            if lost.is_set():
                break
            _, booking, _ = message.subject.split(".")
            event = int(message.data)
            try:
                if booking.startswith("poison") and event == 5 and not os.path.exists(FIXED):
                    await message.nak()
                    continue
                os.write(out, f"{time.monotonic_ns()} {booking} {event}\n".encode())
                await message.ack()
            except (nats.errors.Error, OSError):
                pass


asyncio.run(main())
