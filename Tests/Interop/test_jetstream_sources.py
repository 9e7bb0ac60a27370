"""Mirrors, sources, and snapshots, by the API as both servers serve it."""

import asyncio
import base64
import json
import os

from jetstream import ApiError, api, fill, raises, start


async def create(t, client, name, **config):
    return await api(t, client, f"STREAM.CREATE.{name}", {"name": name, **config})


async def update(t, client, config, **changes):
    config = {key: value for key, value in {**config, **changes}.items() if value is not None}
    return await api(t, client, f"STREAM.UPDATE.{config['name']}", config)


async def info(t, client, name):
    return await api(t, client, f"STREAM.INFO.{name}")


async def contents(t, client, name):
    """Sequence, subject, headers without their version, and body of each message that is there."""
    state = (await info(t, client, name))["state"]
    found = []
    for sequence in range(max(1, state["first_seq"]), state["last_seq"] + 1):
        try:
            message = (await api(t, client, f"STREAM.MSG.GET.{name}", {"seq": sequence}))["message"]
        except ApiError:
            continue
        headers = base64.b64decode(message.get("hdrs", "")).decode().replace("NATS/1.0\r\n", "").split("\r\n")
        found.append((sequence, message["subject"], [line for line in headers if line],
                      base64.b64decode(message.get("data", "")).decode()))
    return found


def origins(headers):
    """Source headers without the identity at their end, which each server makes its own way."""
    return [line.rsplit(" ", 1)[0] for line in headers if line.startswith("Nats-Stream-Source: ")]


async def holds(t, client, name, messages, seconds=10, **state):
    """Waits until a stream holds so many messages (and has this state)."""
    last = {}

    async def look():
        nonlocal last
        while True:
            last = (await info(t, client, name))["state"]
            if last["messages"] == messages and all(last[key] == value for key, value in state.items()):
                return last
            await asyncio.sleep(0.02)

    try:
        return await asyncio.wait_for(look(), t.seconds(seconds))
    except asyncio.TimeoutError:
        raise AssertionError(f"{name} holds {last}, not {messages} messages {state}") from None


async def publish(client, subject, body=b"", headers=None):
    return await client.jetstream().publish(subject, body, headers=headers)


async def test_mirrors_keep_sequences_and_gaps(t):
    client = await t.connect(await start(t))
    await create(t, client, "O", subjects=["o.>"])
    await fill(client.jetstream(), [f"o.{n}" for n in range(6)])
    for sequence in (1, 3, 6):
        await api(t, client, "STREAM.MSG.DELETE.O", {"seq": sequence})
    made = await create(t, client, "M", mirror={"name": "O"})
    assert made["mirror"] == {"name": "O", "lag": 0, "active": -1}, made["mirror"]
    await create(t, client, "LATE", mirror={"name": "O", "opt_start_seq": 4})
    await create(t, client, "SOME", mirror={"name": "O", "filter_subject": "o.4"})
    await holds(t, client, "M", 3, first_seq=2, last_seq=5)
    await holds(t, client, "LATE", 2, first_seq=4, last_seq=5)
    await holds(t, client, "SOME", 1, first_seq=5)
    assert [m[0] for m in await contents(t, client, "M")] == [2, 4, 5]
    origin, mirror = (await info(t, client, "O"))["state"], (await info(t, client, "M"))["state"]
    assert (origin["first_ts"], origin["bytes"]) == (mirror["first_ts"], mirror["bytes"])
    assert (await publish(client, "o.7")).seq == 7
    await holds(t, client, "M", 4, last_seq=7)
    assert (await info(t, client, "M"))["mirror"]["lag"] == 0
    # What follows a stream is none of its consumers.
    assert (await info(t, client, "O"))["state"]["consumer_count"] == 0
    assert (await api(t, client, "CONSUMER.NAMES.O"))["consumers"] == []


async def test_sources_tell_where_messages_come_from(t):
    client = await t.connect(await start(t))
    await create(t, client, "A", subjects=["a.>"])
    await create(t, client, "B", subjects=["b.>"])
    await fill(client.jetstream(), ["a.1", "a.2", "b.1", "b.2"])
    await create(t, client, "S", sources=[
        {"name": "A", "subject_transforms": [{"src": "a.*", "dest": "all.$1"}]},
        {"name": "B", "filter_subject": "b.2"}, {"name": "NONE"}])
    await holds(t, client, "S", 3)
    found = {(subject, body): origins(headers) for _, subject, headers, body in await contents(t, client, "S")}
    assert found == {
        ("all.1", "a.1"): ["Nats-Stream-Source: A 1 a.* all.$1 a.1"],
        ("all.2", "a.2"): ["Nats-Stream-Source: A 2 a.* all.$1 a.2"],
        ("b.2", "b.2"): ["Nats-Stream-Source: B 2 b.2 > b.2"]}, found
    sources = (await info(t, client, "S"))["sources"]
    by_name = {source["name"]: source for source in sources}
    assert (by_name["A"]["seq"], by_name["B"]["seq"]) == (2, 2), sources
    assert by_name["NONE"]["error"]["err_code"] == 10059 and by_name["NONE"]["active"] == -1, sources
    await create(t, client, "NONE")
    await publish(client, "NONE", b"late")
    await holds(t, client, "S", 4, seconds=20)


async def test_sources_go_on_after_restarts(t):
    server = await start(t)
    client = await t.connect(server)
    await create(t, client, "O", subjects=["o.>"])
    await create(t, client, "M", mirror={"name": "O"})
    await create(t, client, "S", sources=[{"name": "O"}], subjects=["own"])
    await fill(client.jetstream(), [f"o.{n}" for n in range(20)])
    await holds(t, client, "S", 20)
    await holds(t, client, "M", 20)
    await publish(client, "own", b"between")
    await client.close()
    await asyncio.to_thread(server.stop)
    client = await t.connect(await start(t))
    await fill(client.jetstream(), [f"o.{n}" for n in range(20, 25)])
    await holds(t, client, "S", 26, seconds=20)
    await holds(t, client, "M", 25, seconds=20)
    await asyncio.sleep(0.3)
    numbers = [origins(headers)[0].split(" ")[2] for _, _, headers, _ in await contents(t, client, "S") if headers]
    assert numbers == [str(n) for n in range(1, 26)], numbers


async def test_purged_sources_are_not_copied_again(t):
    server = await start(t)
    client = await t.connect(server)
    await create(t, client, "O", subjects=["o.>"])
    await create(t, client, "S", sources=[{"name": "O"}])
    await fill(client.jetstream(), [f"o.{n}" for n in range(5)])
    await holds(t, client, "S", 5)
    await api(t, client, "STREAM.PURGE.S")
    await client.close()
    await asyncio.to_thread(server.stop)
    client = await t.connect(await start(t))
    await publish(client, "o.9")
    await holds(t, client, "S", 1, seconds=20, last_seq=6)


async def test_sources_take_over_what_headers_mean(t):
    client = await t.connect(await start(t))
    await create(t, client, "O", subjects=["o.>"], allow_rollup_hdrs=True)
    await publish(client, "o.1", b"1", {"Nats-Msg-Id": "one"})
    await publish(client, "o.1", b"2", {"Nats-Expected-Last-Sequence": "1", "A": "b"})
    await publish(client, "o.2", b"3", {"Nats-Rollup": "sub"})
    await create(t, client, "S", sources=[{"name": "O"}])
    # The same again, from another source: one is a duplicate.
    await create(t, client, "TWICE", sources=[{"name": "O"}, {"name": "O", "filter_subject": "o.1"}], duplicate_window=60_000_000_000)
    await holds(t, client, "S", 3)
    assert [(headers[:-1], body) for _, _, headers, body in await contents(t, client, "S")] == [
        (["Nats-Msg-Id: one"], "1"), (["A: b"], "2"), (["Nats-Rollup: sub"], "3")]
    await holds(t, client, "TWICE", 4)
    error = await raises(Exception, publish(client, "o.3", b"", {"Nats-Stream-Source": "O 1 > > o"}))
    assert "10227" in repr(error) or getattr(error, "err_code", 0) == 10227, repr(error)


async def test_workqueues_forget_what_their_sources_hold(t):
    client = await t.connect(await start(t))
    await create(t, client, "W", subjects=["w.>"], retention="workqueue")
    await fill(client.jetstream(), [f"w.{n}" for n in range(3)])
    await create(t, client, "S", sources=[{"name": "W"}])
    await holds(t, client, "S", 3)
    await holds(t, client, "W", 0, first_seq=4, last_seq=3)
    listed = (await api(t, client, "CONSUMER.LIST.W"))["consumers"]
    assert len(listed) == 1 and listed[0]["config"]["ack_policy"] == "flow_control", listed
    assert listed[0]["config"]["durable_name"].startswith("JS_SRC_"), listed
    await fill(client.jetstream(), ["w.9"])
    await holds(t, client, "S", 4)
    await holds(t, client, "W", 0)


async def test_a_mirror_becomes_a_stream_of_its_own(t):
    client = await t.connect(await start(t))
    await create(t, client, "O", subjects=["o.>"])
    await fill(client.jetstream(), ["o.1", "o.2"])
    config = (await create(t, client, "M", mirror={"name": "O"}))["config"]
    await holds(t, client, "M", 2)
    for change, code in (({"mirror": {"name": "X"}}, 10055), ({"subjects": ["m"]}, 10034),
                         ({"mirror": {"name": "O", "filter_subject": "o.1"}}, 10055)):
        error = await raises(ApiError, update(t, client, config, **change))
        assert error.code == code, (change, error)
    promoted = await update(t, client, config, mirror=None, subjects=["m.>"])
    assert "mirror" not in promoted and promoted["config"]["subjects"] == ["m.>"]
    await publish(client, "o.3")
    assert (await publish(client, "m.1")).seq == 3
    await asyncio.sleep(0.3)
    assert [m[1] for m in await contents(t, client, "M")] == ["o.1", "o.2", "m.1"]


async def test_sources_come_and_go_by_update(t):
    client = await t.connect(await start(t))
    await create(t, client, "A", subjects=["a.>"])
    await create(t, client, "B", subjects=["b.>"])
    await fill(client.jetstream(), ["a.1", "b.1", "b.2"])
    config = (await create(t, client, "S", sources=[{"name": "A"}]))["config"]
    await holds(t, client, "S", 1)
    await update(t, client, config, sources=[{"name": "A"}, {"name": "B", "opt_start_seq": 2}])
    await holds(t, client, "S", 2)
    await update(t, client, config, sources=[{"name": "B", "opt_start_seq": 2}])
    await fill(client.jetstream(), ["a.2", "b.3"])
    await holds(t, client, "S", 3)
    await update(t, client, config, sources=[{"name": "A"}, {"name": "B", "opt_start_seq": 2}])
    await holds(t, client, "S", 4)
    assert [m[1] for m in await contents(t, client, "S")] == ["a.1", "b.2", "b.3", "a.2"]


async def test_another_origin_of_the_same_name_is_copied_whole(t):
    client = await t.connect(await start(t))
    await create(t, client, "O", subjects=["o.>"])
    await fill(client.jetstream(), ["o.1", "o.2"])
    await create(t, client, "S", sources=[{"name": "O"}])
    await create(t, client, "M", mirror={"name": "O"})
    await holds(t, client, "S", 2)
    await holds(t, client, "M", 2)
    await api(t, client, "STREAM.DELETE.O")
    await create(t, client, "O", subjects=["o.>"])
    await fill(client.jetstream(), ["o.3", "o.4", "o.5"])
    # nats-server looks after its sources every ten seconds.
    await holds(t, client, "S", 5, seconds=30)
    await holds(t, client, "M", 3, seconds=30)
    assert [m[3] for m in await contents(t, client, "M")] == ["o.1", "o.2", "o.5"]


async def test_mirrors_answer_for_origins_that_are_gone(t):
    client = await t.connect(await start(t))
    await create(t, client, "O", subjects=["o.>"], allow_direct=True)
    await publish(client, "o.1", b"kept")
    assert (await create(t, client, "M", mirror={"name": "O"}))["config"]["mirror_direct"]
    await holds(t, client, "M", 1)
    await api(t, client, "STREAM.DELETE.O")
    for subject, body in (("$JS.API.DIRECT.GET.O", b'{"seq":1}'), ("$JS.API.DIRECT.GET.O.o.1", b"")):
        message = await client.request(subject, body, timeout=t.seconds(5))
        assert (message.data, message.headers["Nats-Stream"]) == (b"kept", "M"), message


async def test_cycles_are_refused(t):
    client = await t.connect(await start(t))
    await create(t, client, "A", subjects=["a"], sources=[{"name": "B"}])
    for bad in ({"sources": [{"name": "A"}]}, {"mirror": {"name": "A"}}):
        error = await raises(ApiError, create(t, client, "B", **bad))
        assert error.code == 10052 and "cycle" in str(error), error


# MARK: Snapshots

async def snapshot(t, client, name, **request):
    """The pieces of a snapshot, their headers, and the answer."""
    inbox, pieces, ended = client.new_inbox(), [], asyncio.Event()

    async def received(message):
        pieces.append((message.data, message.headers or {}, message.reply))
        if message.reply:
            await message.respond(b"")
        if not message.data:
            ended.set()

    subscription = await client.subscribe(inbox, cb=received)
    answer = await api(t, client, f"STREAM.SNAPSHOT.{name}", {"deliver_subject": inbox, **request})
    await asyncio.wait_for(ended.wait(), t.seconds(20))
    await subscription.unsubscribe()
    return pieces, answer


async def restore(t, client, answer, data, name=None, piece=100_000):
    """Sends a snapshot back; the answer to its end, or ApiError."""
    config = {**answer["config"], "name": name or answer["config"]["name"]}
    begun = await api(t, client, f"STREAM.RESTORE.{config['name']}", {"config": config, "state": answer["state"]})
    reply = None
    for start_at in list(range(0, len(data), piece)) + [len(data)]:
        reply = (await client.request(begun["deliver_subject"], data[start_at:start_at + piece], timeout=t.seconds(10))).data
        if reply:
            break
    reply = json.loads(reply)
    if "error" in reply:
        raise ApiError(reply["error"])
    return reply


async def filled_stream(t, client, messages=200, **config):
    js = client.jetstream()
    await create(t, client, "O", subjects=["o.>"], **config)
    for number in range(messages):
        await js.publish(f"o.{number % 7}", os.urandom(1000), headers={"Number": str(number)})
    await api(t, client, "STREAM.MSG.DELETE.O", {"seq": 5})
    await api(t, client, "CONSUMER.DURABLE.CREATE.O.C", {
        "stream_name": "O", "config": {"durable_name": "C", "ack_policy": "explicit"}})
    # Keyed on Bellhop, like any other on nats-server.
    await api(t, client, "CONSUMER.DURABLE.CREATE.O.K", {
        "stream_name": "O", "config": {"durable_name": "K", "ack_policy": "explicit", "metadata": {"bellhop.key": "token:2"}}})
    for message in await (await js.pull_subscribe_bind("K", "O")).fetch(3):
        await message.ack_sync()
    for message in await (await js.pull_subscribe_bind("C", "O")).fetch(10):
        if message.metadata.sequence.stream <= 7:
            await message.ack_sync()


async def test_snapshots_come_back_with_their_consumers(t):
    client = await t.connect(await start(t))
    await filled_stream(t, client)
    pieces, answer = await snapshot(t, client, "O", chunk_size=10_000)
    assert all(len(data) == 10_000 and reply for data, _, reply in pieces[:-2]), [len(p[0]) for p in pieces]
    assert pieces[-1][0] == b"" and pieces[-1][1]["Status"] == "204", pieces[-1]
    before = (await info(t, client, "O"))["state"]
    waiting = await api(t, client, "CONSUMER.INFO.O.C")
    kept = [(await api(t, client, "STREAM.MSG.GET.O", {"seq": n}))["message"] for n in (1, 100, 200)]
    data = b"".join(piece[0] for piece in pieces)
    assert (await raises(ApiError, restore(t, client, answer, data))).code == 10130
    await api(t, client, "STREAM.DELETE.O")
    restored = await restore(t, client, answer, data)
    assert restored["state"] == before, (restored["state"], before)
    assert [(await api(t, client, "STREAM.MSG.GET.O", {"seq": n}))["message"] for n in (1, 100, 200)] == kept
    now = await api(t, client, "CONSUMER.INFO.O.C")
    for field in ("num_ack_pending", "num_pending", "config"):
        assert now[field] == waiting[field], (field, now, waiting)
    assert now["ack_floor"]["stream_seq"] == waiting["ack_floor"]["stream_seq"]
    assert (await publish(client, "o.1")).seq == 201


async def test_restored_streams_survive_a_restart(t):
    server = await start(t)
    client = await t.connect(server)
    await filled_stream(t, client, 50)
    pieces, answer = await snapshot(t, client, "O", no_consumers=True)
    before = (await info(t, client, "O"))["state"]
    await api(t, client, "STREAM.DELETE.O")
    await restore(t, client, answer, b"".join(piece[0] for piece in pieces), piece=777)
    await client.close()
    await asyncio.to_thread(server.kill)
    client = await t.connect(await start(t))
    assert (await info(t, client, "O"))["state"] == {**before, "consumer_count": 0}


async def test_damaged_snapshots_leave_nothing(t):
    server = await start(t)
    client = await t.connect(server)
    await filled_stream(t, client, 20)
    pieces, answer = await snapshot(t, client, "O")
    data = b"".join(piece[0] for piece in pieces)
    await api(t, client, "STREAM.DELETE.O")
    flipped = data[:len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1:]
    for bad in (b"", b"junk" * 5000, data[:-10], data[:len(data) // 2], flipped):
        error = await raises(ApiError, restore(t, client, answer, bad))
        assert error.code == 10062, error
        assert (await raises(ApiError, info(t, client, "O"))).code == 10059
    await restore(t, client, answer, data)
    assert (await info(t, client, "O"))["state"]["messages"] == 19


async def test_snapshots_wait_for_their_receiver(t):
    client = await t.connect(await start(t))
    await filled_stream(t, client, 100)
    inbox, got, ended = client.new_inbox(), [], asyncio.Event()

    async def received(message):
        got.append(message)
        if not message.data:
            ended.set()

    await client.subscribe(inbox, cb=received)
    await api(t, client, "STREAM.SNAPSHOT.O", {"deliver_subject": inbox, "chunk_size": 1024, "window_size": 4096})
    await asyncio.wait_for(ended.wait(), t.seconds(15))
    assert len(got) == 5 and got[-1].headers["Status"] == "408", [(len(m.data), m.headers) for m in got]
    for body, code in ((None, 10003), ({"deliver_subject": ""}, 10015), ({"deliver_subject": "a.*"}, 10015)):
        assert (await raises(ApiError, api(t, client, "STREAM.SNAPSHOT.O", body))).code == code
    assert (await raises(ApiError, api(t, client, "STREAM.SNAPSHOT.NONE", {"deliver_subject": "x"}))).code == 10059


async def test_snapshots_are_announced(t):
    client = await t.connect(await start(t))
    await create(t, client, "O")
    await publish(client, "O")
    heard = []

    async def received(message):
        heard.append(message.subject.split(".")[4])

    await client.subscribe("$JS.EVENT.ADVISORY.STREAM.*.O", cb=received)
    await t.flush(client)
    pieces, answer = await snapshot(t, client, "O")
    await api(t, client, "STREAM.DELETE.O")
    await restore(t, client, answer, b"".join(piece[0] for piece in pieces))
    await t.until(lambda: len(heard) >= 6, lambda: heard)
    assert sorted(heard) == sorted([
        "SNAPSHOT_CREATE", "SNAPSHOT_COMPLETE", "DELETED", "RESTORE_CREATE", "CREATED", "RESTORE_COMPLETE"]), heard
