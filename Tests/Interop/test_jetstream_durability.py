"""What a broker says of messages that its disk has lost. Files are Bellhop's own: against the peer there is nothing to see."""

import json
import os

from jetstream import api, fill, start
from test_jetstream_monitoring import get


def segment(t):
    """The first segment of the stream S, or None."""
    path = os.path.join(t.folder.name, "store", "jetstream", "$G", "streams", "S", "log", "0000000000000001.seg")
    return path if os.path.exists(path) else None


def damage(path, text):
    with open(path, "r+b") as file:
        place = file.read().index(text)
        file.seek(place)
        file.write(b"!")


async def test_damage_is_reported(t):
    server = await start(t, "-m", "-1")
    client = await t.connect(server)
    await client.jetstream().add_stream(name="S", subjects=["s.*"])
    # Larger than what is read at the start, so that the later damage is met by a read.
    await fill(client.jetstream(), [f"s.{number}" for number in range(5)], size=10_000)
    await client.close()
    server.kill()
    path = segment(t)
    if path is None:
        return
    damage(path, b"s.1s.1")
    # Found at the start.
    server = await start(t, "-m", "-1")
    client = await t.connect(server)
    js = client.jetstream()
    assert "sequence 2) is damaged" in server.log, server.log
    info = await api(t, client, "STREAM.INFO.S")
    assert info["state"]["lost"]["msgs"] == [2] and info["state"]["lost"]["bytes"] > 0, info
    assert (info["state"]["messages"], info["state"]["first_seq"], info["state"]["last_seq"]) == (4, 1, 5), info
    page = (await get(server, "/jsz?streams=true"))[1]
    assert page["account_details"][0]["stream_detail"][0]["state"]["lost"]["msgs"] == [2], page
    # What was found when nobody could listen yet waits for the first who does, and is told once.
    advisories = await client.subscribe("$JS.EVENT.ADVISORY.STREAM.>")
    advisory = json.loads((await advisories.next_msg(timeout=t.seconds(5))).data)
    assert (advisory["stream"], advisory["msgs"]) == ("S", [2]) and "is damaged" in advisory["reason"], advisory
    others = await client.subscribe("$JS.EVENT.ADVISORY.STREAM.LOST.S")
    await client.flush()
    # Found when it is read.
    damage(path, b"s.3s.3")
    consumer = await js.pull_subscribe("s.*", "C")
    messages = await consumer.fetch(3, timeout=t.seconds(5))
    assert [message.subject for message in messages] == ["s.0", "s.2", "s.4"], messages
    advisory = json.loads((await advisories.next_msg(timeout=t.seconds(5))).data)
    assert advisory["type"] == "io.nats.jetstream.advisory.v1.stream_lost", advisory
    assert json.loads((await others.next_msg(timeout=t.seconds(5))).data) == advisory
    assert (advisory["stream"], advisory["msgs"]) == ("S", [4]) and "is damaged" in advisory["reason"], advisory
    assert (await api(t, client, "STREAM.INFO.S"))["state"]["lost"]["msgs"] == [2, 4]
    # Nothing is deleted on that account, and the stream goes on.
    assert (await js.publish("s.9", b"on")).seq == 6


def forget_pages(folder):
    """Takes the store's files out of the page cache, as after a restart of the machine."""
    for where, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(os.path.join(where, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


async def test_a_cold_start(t):
    server = await start(t)
    client = await t.connect(server)
    js = client.jetstream()
    await js.add_stream(name="S", subjects=["s.*"])
    for number in range(50):
        await js.publish(f"s.{number}", b"x" * 10_000, headers={"Nats-Msg-Id": f"id-{number}"})
    await client.close()
    server.stop()
    forget_pages(os.path.join(t.folder.name, "store"))
    # What the stream has to know of its messages has to come from the disk, and nobody else asks for anything.
    server = await start(t)
    client = await t.connect(server)
    js = client.jetstream()
    consumer = await js.pull_subscribe("s.*", "C")
    messages = await consumer.fetch(50, timeout=t.seconds(5))
    assert [message.metadata.sequence.stream for message in messages] == list(range(1, 51)), len(messages)
    ack = await js.publish("s.7", b"again", headers={"Nats-Msg-Id": "id-7"}, timeout=t.seconds(5))
    assert (ack.seq, ack.duplicate) == (8, True), ack
    assert (await js.publish("s.7", b"new", headers={"Nats-Msg-Id": "id-new"})).seq == 51


async def test_a_deleted_stream_lets_go_of_its_files(t):
    server = await start(t)
    client = await t.connect(server)
    js = client.jetstream()

    async def come_and_go(times):
        for _ in range(times):
            await js.add_stream(name="S", subjects=["s.*"])
            await fill(js, [f"s.{number}" for number in range(10)], size=100)
            consumer = await js.pull_subscribe("s.*", "C")
            for message in await consumer.fetch(5, timeout=t.seconds(5)):
                await message.ack_sync()
            await consumer.unsubscribe()
            await js.delete_stream("S")

    await come_and_go(3)
    before = len(os.listdir(f"/proc/{server.pid}/fd"))
    await come_and_go(20)
    after = len(os.listdir(f"/proc/{server.pid}/fd"))
    # A few threads and pipes may have begun meanwhile.
    assert after <= before + 8, (before, after)
