"""What the JetStream tests share: a broker with a store of its own, and API requests without a client's help."""

import json
import os


class ApiError(Exception):
    """The error of a JetStream API answer; `code` is JetStream's own `err_code`."""

    def __init__(self, error):
        super().__init__(str(error))
        self.code = error["err_code"]


async def start(t, *args, store="store", **more):
    """A broker with JetStream; the same `store` name gives the same directory within a test."""
    return await t.broker("-js", "-sd", os.path.join(t.folder.name, store), *args, **more)


async def api(t, client, subject, body=None):
    """One request to $JS.API.<subject>; its answer, or ApiError."""
    payload = b"" if body is None else json.dumps(body).encode()
    message = await client.request("$JS.API." + subject, payload, timeout=t.seconds(5))
    answer = json.loads(message.data)
    if "error" in answer:
        raise ApiError(answer["error"])
    return answer


async def fill(js, subjects, size=0):
    """Publishes one message to each subject; returns their sequences."""
    return [(await js.publish(subject, (subject + " " * size).encode())).seq for subject in subjects]


async def raises(what, awaitable):
    """The exception of a kind that an awaitable must raise."""
    try:
        result = await awaitable
    except what as error:
        return error
    raise AssertionError(f"no {getattr(what, '__name__', what)}: {result!r}")
