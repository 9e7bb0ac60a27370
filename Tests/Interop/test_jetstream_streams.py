"""Streams with nats-py: publishing, reading, limits, headers that guard, and what a restart leaves."""

import asyncio
import json
import random

import nats.js.errors as errors
from jetstream import ApiError, api, fill, raises, start
from nats.js import api as types


async def test_publish_read_and_survive_a_restart(t):
    server = await start(t)
    client = await t.connect(server)
    js = client.jetstream()
    await js.add_stream(name="BOOKINGS", subjects=["booking.>"])
    for number in range(1, 101):
        ack = await js.publish(f"booking.{number}.confirmed", b"%d" % number, headers={"Kind": f"k{number}"})
        assert (ack.stream, ack.seq, ack.duplicate) == ("BOOKINGS", number, None), ack
    await client.close()
    assert await asyncio.to_thread(server.stop) in (0, 1)
    server = await start(t)
    js = (await t.connect(server)).jetstream()
    state = (await js.stream_info("BOOKINGS")).state
    assert (state.messages, state.first_seq, state.last_seq) == (100, 1, 100), state
    for number in (1, 50, 100):
        message = await js.get_msg("BOOKINGS", number)
        assert (message.subject, message.data, message.headers["Kind"]) == (
            f"booking.{number}.confirmed", b"%d" % number, f"k{number}"), message
    assert (await js.publish("booking.x.confirmed", b"")).seq == 101


async def test_acked_messages_survive_a_kill(t):
    server = await start(t)
    js = (await t.connect(server)).jetstream()
    await js.add_stream(name="KEPT", subjects=["kept.*"])
    await fill(js, [f"kept.{n}" for n in range(50)])
    await asyncio.to_thread(server.kill)
    js = (await t.connect(await start(t))).jetstream()
    assert (await js.stream_info("KEPT")).state.messages == 50
    assert (await js.get_last_msg("KEPT", "kept.49")).data == b"kept.49"


async def test_asynchronous_publishes_are_acked_in_order(t):
    js = (await t.connect(await start(t))).jetstream()
    await js.add_stream(name="MANY", subjects=["many.>"])
    futures = [await js.publish_async(f"many.{n % 7}", b"%d" % n) for n in range(1000)]
    await asyncio.wait_for(js.publish_async_completed(), t.seconds(20))
    assert [future.result().seq for future in futures] == list(range(1, 1001))


async def test_publish_without_a_stream_finds_nobody(t):
    js = (await t.connect(await start(t))).jetstream()
    await raises(errors.NoStreamResponseError, js.publish("nowhere", b""))


async def test_streams_are_made_updated_listed_and_deleted(t):
    client = await t.connect(await start(t))
    js = client.jetstream()
    for name in ("B", "A", "C"):
        await js.add_stream(name=name, subjects=[f"{name}.>"], description=f"stream {name}")
    await js.add_stream(name="A", subjects=["A.>"], description="stream A")  # the same again
    same_name = await raises(errors.APIError, js.add_stream(name="A", subjects=["other"]))
    assert same_name.err_code == 10058, same_name
    overlap = await raises(errors.APIError, js.add_stream(name="D", subjects=["A.x"]))
    assert overlap.err_code == 10065, overlap
    assert [info.config.name for info in await js.streams_info()] == ["A", "B", "C"]
    assert await js.find_stream_name_by_subject("B.x") == "B"
    info = await js.update_stream(name="A", subjects=["A.>", "also.A"], max_msgs=5)
    assert info.config.subjects == ["A.>", "also.A"] and info.config.max_msgs == 5
    assert await js.delete_stream("A")
    await raises(errors.NotFoundError, js.stream_info("A"))
    assert (await api(t, client, "STREAM.NAMES"))["streams"] == ["B", "C"]
    account = await js.account_info()
    assert account.streams == 2, account


async def test_limits_discard_the_oldest(t):
    js = (await t.connect(await start(t))).jetstream()
    await js.add_stream(name="LAST", subjects=["last.*"], max_msgs=10)
    await fill(js, [f"last.{n % 3}" for n in range(25)])
    state = (await js.stream_info("LAST")).state
    assert (state.messages, state.first_seq, state.last_seq) == (10, 16, 25), state
    await js.update_stream(name="LAST", subjects=["last.*"], max_msgs=10, max_msgs_per_subject=2)
    info = await js.stream_info("LAST", subjects_filter=">")
    assert info.state.subjects == {"last.0": 2, "last.1": 2, "last.2": 2}, info.state


async def test_discard_new_refuses(t):
    js = (await t.connect(await start(t))).jetstream()
    await js.add_stream(name="FULL", subjects=["full.*"], max_msgs=2, discard=types.DiscardPolicy.NEW)
    await fill(js, ["full.1", "full.2"])
    error = await raises(errors.APIError, js.publish("full.3", b""))
    assert error.err_code == 10077, error
    assert await js.delete_msg("FULL", 1)
    assert (await js.publish("full.3", b"")).seq == 3


async def test_messages_age_out(t):
    js = (await t.connect(await start(t))).jetstream()
    await js.add_stream(name="BRIEF", subjects=["brief"], max_age=1.0, duplicate_window=0.5)
    await fill(js, ["brief", "brief"])
    assert (await js.stream_info("BRIEF")).state.messages == 2
    deadline = asyncio.get_running_loop().time() + t.seconds(10)
    while (await js.stream_info("BRIEF")).state.messages:
        assert asyncio.get_running_loop().time() < deadline, "still there"
        await asyncio.sleep(0.05)
    state = (await js.stream_info("BRIEF")).state
    assert (state.first_seq, state.last_seq) == (3, 2), state


async def test_duplicates_are_stored_once(t):
    server = await start(t)
    js = (await t.connect(server)).jetstream()
    await js.add_stream(name="ONCE", subjects=["once"])
    first = await js.publish("once", b"1", headers={"Nats-Msg-Id": "a"})
    again = await js.publish("once", b"2", headers={"Nats-Msg-Id": "a"})
    other = await js.publish("once", b"3", headers={"Nats-Msg-Id": "b"})
    assert (first.seq, again.seq, again.duplicate, other.seq) == (1, 1, True, 2), (first, again, other)
    await asyncio.to_thread(server.stop)
    js = (await t.connect(await start(t))).jetstream()
    later = await js.publish("once", b"4", headers={"Nats-Msg-Id": "b"})
    assert (later.seq, later.duplicate) == (2, True), later


async def test_expectations_guard_a_publish(t):
    js = (await t.connect(await start(t))).jetstream()
    await js.add_stream(name="GUARD", subjects=["guard.*"])
    await fill(js, ["guard.a", "guard.b"])

    async def refused(code, **headers):
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        error = await raises(errors.APIError, js.publish("guard.a", b"", headers=names))
        assert error.err_code == code, error

    await refused(10060, Nats_Expected_Stream="OTHER")
    await refused(10071, Nats_Expected_Last_Sequence="1")
    await refused(10071, Nats_Expected_Last_Subject_Sequence="2")
    await refused(10070, Nats_Expected_Last_Msg_Id="nobody")
    ack = await js.publish("guard.a", b"", stream="GUARD", headers={
        "Nats-Expected-Last-Sequence": "2", "Nats-Expected-Last-Subject-Sequence": "1"})
    assert ack.seq == 3


async def test_purge_and_delete(t):
    js = (await t.connect(await start(t))).jetstream()
    await js.add_stream(name="PURGE", subjects=["p.*"])
    await fill(js, [f"p.{n % 4}" for n in range(20)])
    assert await js.delete_msg("PURGE", 7)
    await raises(errors.NotFoundError, js.get_msg("PURGE", 7))
    assert await js.purge_stream("PURGE", subject="p.1")
    info = await js.stream_info("PURGE", subjects_filter="p.*")
    assert info.state.subjects == {"p.0": 5, "p.2": 4, "p.3": 5}, info.state
    assert await js.purge_stream("PURGE", seq=11)
    assert (await js.stream_info("PURGE")).state.first_seq == 11
    assert await js.purge_stream("PURGE", keep=1)
    assert (await js.stream_info("PURGE")).state.messages == 1
    assert await js.purge_stream("PURGE")
    state = (await js.stream_info("PURGE")).state
    assert (state.messages, state.first_seq, state.last_seq) == (0, 21, 20), state


async def test_direct_get(t):
    client = await t.connect(await start(t))
    js = client.jetstream()
    await js.add_stream(name="DIRECT", subjects=["d.*"], allow_direct=True)
    await fill(js, ["d.a", "d.b", "d.a", "d.b"])
    assert (await js.get_msg("DIRECT", 3, direct=True)).data == b"d.a"
    last = await js.get_last_msg("DIRECT", "d.b", direct=True)
    assert (last.seq, last.data) == (4, b"d.b"), last
    message = await client.request("$JS.API.DIRECT.GET.DIRECT.d.a", b"", timeout=t.seconds(5))
    assert message.headers["Nats-Sequence"] == "3" and message.headers["Nats-Subject"] == "d.a", message.headers
    missing = await client.request("$JS.API.DIRECT.GET.DIRECT.d.none", b"", timeout=t.seconds(5))
    assert missing.headers["Status"] == "404", missing.headers


async def test_rollup_and_republish(t):
    client = await t.connect(await start(t))
    js = client.jetstream()
    await js.add_stream(
        name="ROLL", subjects=["roll.*"], allow_rollup_hdrs=True,
        republish=types.RePublish(src="roll.*", dest="seen.{{wildcard(1)}}"))
    seen = await client.subscribe("seen.>")
    await t.flush(client)
    await fill(js, ["roll.a", "roll.a", "roll.b"])
    await js.publish("roll.a", b"sum", headers={"Nats-Rollup": "sub"})
    info = await js.stream_info("ROLL", subjects_filter=">")
    assert info.state.subjects == {"roll.a": 1, "roll.b": 1}, info.state
    copies = [await seen.next_msg(timeout=t.seconds(5)) for _ in range(4)]
    assert [m.subject for m in copies] == ["seen.a", "seen.a", "seen.b", "seen.a"]
    assert copies[1].headers["Nats-Sequence"] == "2" and copies[1].headers["Nats-Last-Sequence"] == "1", copies[1].headers


async def test_mirrors_and_sources_follow(t):
    js = (await t.connect(await start(t))).jetstream()
    await js.add_stream(name="ORIGIN", subjects=["o.*"])
    await js.add_stream(name="SECOND", subjects=["s.*"])
    await fill(js, ["o.1", "o.2", "s.1"])
    await js.add_stream(name="MIRROR", mirror=types.StreamSource(name="ORIGIN"))
    await js.add_stream(name="BOTH", sources=[types.StreamSource(name="ORIGIN"), types.StreamSource(name="SECOND")])
    await fill(js, ["o.3", "s.2"])

    async def holds(name, count):
        deadline = asyncio.get_running_loop().time() + t.seconds(15)
        while (await js.stream_info(name)).state.messages != count:
            assert asyncio.get_running_loop().time() < deadline, await js.stream_info(name)
            await asyncio.sleep(0.05)

    await holds("MIRROR", 3)
    await holds("BOTH", 5)
    assert [(await js.get_msg("MIRROR", seq)).subject for seq in (1, 2, 3)] == ["o.1", "o.2", "o.3"]
    message = await js.get_msg("BOTH", 1)
    assert "Nats-Stream-Source" in message.headers, message.headers


async def test_atomic_batch_is_all_or_nothing(t):
    client = await t.connect(await start(t))
    js = client.jetstream()
    await js.add_stream(name="ATOMIC", subjects=["atom.*"], allow_atomic=True)

    def headers(step, **more):
        return {"Nats-Batch-Id": more.pop("id", "one"), "Nats-Batch-Sequence": str(step), **more}

    await client.publish("atom.1", b"1", headers=headers(1))
    await client.publish("atom.2", b"2", headers=headers(2))
    await t.flush(client)
    assert (await js.stream_info("ATOMIC")).state.messages == 0
    ack = await client.request("atom.3", b"3", headers={**headers(3), "Nats-Batch-Commit": "1"}, timeout=t.seconds(5))
    assert b'"seq":3' in ack.data and b'"count":3' in ack.data, ack.data
    await client.publish("atom.1", b"1", headers=headers(1, id="two"))
    gap = await client.request(
        "atom.3", b"3", headers={**headers(3, id="two"), "Nats-Batch-Commit": "1"}, timeout=t.seconds(5))
    assert b"10176" in gap.data, gap.data
    assert (await js.stream_info("ATOMIC")).state.messages == 3


async def test_message_ttl(t):
    js = (await t.connect(await start(t))).jetstream()
    await js.add_stream(name="TTL", subjects=["ttl"], allow_msg_ttl=True)
    await js.publish("ttl", b"short", headers={"Nats-TTL": "1s"})
    await js.publish("ttl", b"long")
    deadline = asyncio.get_running_loop().time() + t.seconds(10)
    while (await js.stream_info("TTL")).state.messages != 1:
        assert asyncio.get_running_loop().time() < deadline, "it outlives its time"
        await asyncio.sleep(0.05)
    assert (await js.get_msg("TTL", 2)).data == b"long"


async def test_a_marker_spares_what_still_has_time(t):
    client = await t.connect(await start(t))
    js = client.jetstream()
    config = {"name": "MARK", "subjects": ["mark.*"], "allow_msg_ttl": True, "allow_rollup_hdrs": True, "subject_delete_marker_ttl": 1_000_000_000}
    answer = await client.request("$JS.API.STREAM.CREATE.MARK", json.dumps(config).encode(), timeout=t.seconds(5))
    assert b'"error"' not in answer.data, answer.data
    await js.publish("mark.a", b"for ever")
    for subject in ("mark.a", "mark.b"):
        await js.publish(subject, b"short", headers={"Nats-TTL": "1s"})
    deadline = asyncio.get_running_loop().time() + t.seconds(10)
    # The marker of what was alone comes with the expiry, and goes a second later.
    while (await js.stream_info("MARK")).state.last_seq != 4:
        assert asyncio.get_running_loop().time() < deadline, "no marker comes"
        await asyncio.sleep(0.05)
    while (await js.stream_info("MARK")).state.messages != 1:
        assert asyncio.get_running_loop().time() < deadline, "the marker stays"
        await asyncio.sleep(0.05)
    assert (await js.get_msg("MARK", 1)).data == b"for ever"
    assert (await js.stream_info("MARK")).state.last_seq == 4


async def test_counter(t):
    client = await t.connect(await start(t))
    js = client.jetstream()
    await js.add_stream(name="COUNT", subjects=["count.*"], allow_msg_counter=True)
    values = []
    for step in ("+5", "-2", "10"):
        answer = await client.request("count.a", b"", headers={"Nats-Incr": step}, timeout=t.seconds(5))
        values.append(answer.data)
    assert [b'"val":"%d"' % value in answer for value, answer in zip((5, 3, 13), values)] == [True] * 3, values
    assert (await js.get_last_msg("COUNT", "count.a")).data == b'{"val":"13"}'


async def test_the_api_reads_strictly(t):
    client = await t.connect(await start(t))
    for subject, body, code in (
            ("STREAM.CREATE.X", {"name": "X", "colour": "red"}, 10025), ("STREAM.CREATE.X", {"name": "Y"}, 10056),
            ("STREAM.INFO.NONE", None, 10059), ("CONSUMER.INFO.NONE.c", None, 10059)):
        error = await raises(ApiError, api(t, client, subject, body))
        assert error.code == code, (subject, error)


async def test_memory_streams_are_forgotten(t):
    server = await start(t)
    js = (await t.connect(server)).jetstream()
    await js.add_stream(name="FILE", subjects=["f"])
    await js.add_stream(name="MEM", subjects=["m"], storage=types.StorageType.MEMORY)
    await fill(js, ["f", "m", "m"])
    assert (await js.stream_info("MEM")).state.messages == 2
    await asyncio.to_thread(server.stop)
    js = (await t.connect(await start(t))).jetstream()
    assert (await js.stream_info("FILE")).state.messages == 1
    await raises(errors.NotFoundError, js.stream_info("MEM"))


async def test_snapshot_and_restore(t):
    client = await t.connect(await start(t))
    js = client.jetstream()
    await js.add_stream(name="SNAP", subjects=["snap.*"])
    contents = [random.Random(n).randbytes(2000) for n in range(200)]  # does not compress
    for number, content in enumerate(contents):
        await js.publish(f"snap.{number}", content)
    chunks = await client.subscribe("chunks")
    answer = await api(t, client, "STREAM.SNAPSHOT.SNAP", {"deliver_subject": "chunks", "chunk_size": 65536})
    data = []
    while True:
        message = await chunks.next_msg(timeout=t.seconds(5))
        if not message.data:
            break
        data.append(message.data)
        if message.reply:
            await client.publish(message.reply, b"")
    assert len(data) > 1 and answer["state"]["messages"] == 200, answer["state"]
    await js.delete_stream("SNAP")
    target = (await api(t, client, "STREAM.RESTORE.SNAP", {"config": answer["config"], "state": answer["state"]}))[
        "deliver_subject"]
    for chunk in data:
        reply = await client.request(target, chunk, timeout=t.seconds(5))
        assert b"error" not in reply.data, reply.data
    last = await client.request(target, b"", timeout=t.seconds(10))
    assert b"stream_create_response" in last.data and b'"error"' not in last.data, last.data
    assert (await js.stream_info("SNAP")).state.messages == 200
    assert (await js.get_last_msg("SNAP", "snap.199")).data == contents[199]


async def test_streams_are_created_side_by_side(t):
    """Of requests that come at once, those that contradict each other are checked against each other."""
    server = await start(t)
    client = await t.connect(server)

    async def create(name, subject, **more):
        try:
            return await api(t, client, f"STREAM.CREATE.{name}", {"name": name, "subjects": [subject], **more})
        except ApiError as error:
            return error.code

    answers = await asyncio.gather(
        *[create(f"S{n}", f"s.{n}") for n in range(40)],
        *[create("SAME", "same") for _ in range(5)],
        *[create("OTHER", "other", max_msgs=n + 1) for n in range(5)],
        *[create(f"OVER{n}", "over.>") for n in range(5)])
    assert all(isinstance(answer, dict) for answer in answers[:45]), answers
    assert sorted(str(answer) for answer in answers[45:50] if isinstance(answer, int)) == ["10058"] * 4, answers[45:50]
    assert [answer for answer in answers[50:] if isinstance(answer, int)] == [10065] * 4, answers[50:]
    names = (await api(t, client, "STREAM.NAMES"))["streams"]
    assert len(names) == 43 and {"SAME", "OTHER"} <= set(names), names
    await asyncio.to_thread(server.kill)
    client = await t.connect(await start(t))
    assert (await api(t, client, "STREAM.NAMES"))["streams"] == names


async def test_audits_say_who_asked(t):
    server = await start(t)
    client, listener = await t.connect(server), await t.connect(server)
    audits = await listener.subscribe("$JS.EVENT.ADVISORY.API")
    await listener.flush()
    await api(t, client, "STREAM.CREATE.A", {"name": "A"})
    asked = json.loads((await audits.next_msg(timeout=t.seconds(5))).data)["client"]
    assert (asked["id"], asked["acc"], asked["host"], asked["kind"], asked["client_type"]) == (
        client.client_id, "$G", "127.0.0.1", "Client", "nats"), asked
    assert asked["start"] and asked["server"], asked


async def test_an_account_without_jetstream_is_told_so(t):
    server = await start(t, config="""accounts {
        A { users: [ { user: a, password: a } ] }
        B { jetstream: enabled, users: [ { user: b, password: b } ] }
    }""")
    client = await t.connect(server, user="a", password="a")
    error = await raises(ApiError, api(t, client, "INFO"))
    assert error.code == 10039, error
