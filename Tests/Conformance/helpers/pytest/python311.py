"""What the suites' clients take from Python 3.13, for an older interpreter. Loaded before the tests."""

import asyncio


class QueueShutDown(Exception):
    """Raised by a queue that has been shut down."""


class Queue(asyncio.Queue):
    """asyncio.Queue with 3.13's `shutdown`: `put` is refused; `get` returns what is left, then is refused."""

    _shut = False

    def shutdown(self, immediate=False):
        self._shut = True
        if immediate:
            while not self.empty():
                self.get_nowait()
        for waiters in (self._getters, self._putters):
            while waiters:
                waiter = waiters.popleft()
                if not waiter.done():
                    waiter.set_result(None)

    def put_nowait(self, item):
        if self._shut:
            raise QueueShutDown
        super().put_nowait(item)

    async def put(self, item):
        while self.full() and not self._shut:
            putter = asyncio.get_running_loop().create_future()
            self._putters.append(putter)
            await putter
        self.put_nowait(item)

    def get_nowait(self):
        if self.empty() and self._shut:
            raise QueueShutDown
        return super().get_nowait()

    async def get(self):
        while self.empty():
            if self._shut:
                raise QueueShutDown
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except BaseException:
                getter.cancel()
                if getter in self._getters:
                    self._getters.remove(getter)
                if not self.empty() and not getter.cancelled():
                    self._wakeup_next(self._getters)
                raise
        return self.get_nowait()


if not hasattr(asyncio, "QueueShutDown"):
    asyncio.QueueShutDown = QueueShutDown
    asyncio.Queue = Queue
