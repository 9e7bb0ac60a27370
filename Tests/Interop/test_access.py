"""Who may connect and what they may do: token, password, bcrypt, nkey, permissions, accounts, reload."""

import asyncio

import nats.errors

NKEY_SEED = "SUAEIV5COV7ADQZE52WTYHVJQRV7WKJE5J7IBBJGATJTUUT2LVFGVXDPRQ"
NKEY_USER = "UBABIZX6SZFAKHK2KGUFD6QH53FDAH5QVCH2R5MJLFPEVYAW22QWQQCX"
BCRYPT_OF_SECRET = "$2a$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"


async def refused(t, server, **credentials):
    try:
        await t.connect(server, allow_reconnect=False, **credentials)
    except (nats.errors.Error, ConnectionError, OSError):
        return
    raise AssertionError(f"let in with {credentials}")


async def heard(t, receiver, sender, subject):
    """Whether a message on `subject` gets from one client to the other."""
    subscription = await receiver.subscribe(subject)
    await t.flush(receiver)
    await sender.publish(subject, b"x")
    await t.flush(sender)
    await t.flush(receiver)
    try:
        await subscription.next_msg(timeout=t.seconds(0.3))
        return True
    except nats.errors.TimeoutError:
        return False
    finally:
        await subscription.unsubscribe()


async def test_token(t):
    server = await t.broker("--auth", "s3cret")
    client = await t.connect(server, token="s3cret")
    assert await heard(t, client, client, "x")
    await refused(t, server, token="other")
    await refused(t, server)


async def test_user_and_password(t):
    server = await t.broker("--user", "joe", "--pass", "secret")
    assert (await t.connect(server, user="joe", password="secret")).is_connected
    await refused(t, server, user="joe", password="wrong")
    await refused(t, server, user="ann", password="secret")
    await refused(t, server)


async def test_bcrypt_password(t):
    server = await t.broker(config=f'authorization {{ users: [ {{ user: joe, password: "{BCRYPT_OF_SECRET}" }} ] }}')
    clients = await asyncio.gather(*[t.connect(server, user="joe", password="secret", allow_reconnect=False) for _ in range(10)])
    assert all(client.is_connected for client in clients)
    await refused(t, server, user="joe", password="wrong")
    await refused(t, server, user="joe", password=BCRYPT_OF_SECRET)


async def test_nkey(t):
    server = await t.broker(config=f"authorization {{ users: [ {{ nkey: {NKEY_USER} }} ] }}")
    client = await t.connect(server, nkeys_seed_str=NKEY_SEED)
    assert await heard(t, client, client, "x")
    await refused(t, server, nkeys_seed_str="SUAMLK2ZNL35WSMW37E7UD4VZ7ELPKW7DHC3BWBSD2GCZ7IUQQXZIORRBU")
    await refused(t, server)


async def test_permissions(t):
    server = await t.broker(config="""
authorization { users: [
  { user: all, password: p }
  { user: few, password: p, permissions: { publish: { allow: ["ok.>"], deny: "ok.not" }, subscribe: ["in.>"] } }
] }""")
    errors = []

    async def on_error(error):
        errors.append(str(error))

    every = await t.connect(server, user="all", password="p")
    few = await t.connect(server, user="few", password="p", error_cb=on_error)
    assert await heard(t, every, few, "ok.yes")
    assert not await heard(t, every, few, "ok.not")
    assert not await heard(t, every, few, "other")
    assert await heard(t, few, every, "in.x")
    assert not await heard(t, few, every, "out.x")
    await t.until(lambda: len(errors) >= 3, "three permission errors")
    assert errors[0] == 'nats: permissions violation for publish to "ok.not"', errors
    assert few.is_connected


async def test_accounts_are_isolated(t):
    server = await t.broker(config="""
accounts { A { users: [ { user: a, password: p }, { user: a2, password: p } ] }, B { users: [ { user: b, password: p } ] } }""")
    a, a2, b = [await t.connect(server, user=name, password="p") for name in ("a", "a2", "b")]
    assert await heard(t, a, a2, "x")
    assert not await heard(t, a, b, "x")
    assert not await heard(t, b, a, "x")
    await a.subscribe("svc")
    await t.flush(a)
    try:
        await b.request("svc", b"", timeout=t.seconds(5))
        raise AssertionError("B reached A's service")
    except nats.errors.NoRespondersError:
        pass


async def test_accounts_export_and_import(t):
    server = await t.broker(config="""
accounts {
  A { users: [ { user: a, password: p } ], exports: [ { stream: "pub.>" }, { service: "svc" } ] }
  B { users: [ { user: b, password: p } ], imports: [ { stream: { account: A, subject: "pub.>" } },
      { service: { account: A, subject: "svc" } } ] }
}""")
    a, b = [await t.connect(server, user=name, password="p") for name in "ab"]
    assert await heard(t, b, a, "pub.x")
    assert not await heard(t, b, a, "own.x")

    async def answer(message):
        await message.respond(b"from a")

    await a.subscribe("svc", cb=answer)
    await t.flush(a)
    assert (await b.request("svc", b"", timeout=t.seconds(5))).data == b"from a"


async def test_reload_changes_users_and_permissions(t):
    text = "authorization { users: [ { user: joe, password: %s, permissions: { subscribe: %s } }, { user: all, password: p } ] }"
    server = await t.broker(config=text % ("one", '["x", "y"]'))
    joe = await t.connect(server, user="joe", password="one", max_reconnect_attempts=0)
    every = await t.connect(server, user="all", password="p")
    assert await heard(t, joe, every, "x")
    t.config(text % ("one", '["y"]'))
    await asyncio.to_thread(server.reload)
    fresh = await t.connect(server, user="joe", password="one")
    assert not await heard(t, fresh, every, "x")
    assert await heard(t, fresh, every, "y")
    t.config(text % ("two", '["y"]'))
    await asyncio.to_thread(server.reload)
    await refused(t, server, user="joe", password="one")
    await t.until(lambda: not fresh.is_connected or not fresh._transport, "joe with the old password is cut", 5)
    assert (await t.connect(server, user="joe", password="two")).is_connected
    assert every.is_connected
