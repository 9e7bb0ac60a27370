"""Kills the broker with SIGKILL at random moments, again and again on one store, and checks what it then shows.

    make crash                     500 cycles against brokerd
    make crash CYCLES=25 SEED=7    fewer, with the choices of a seed (moments are the machine's own)
    make crash BROKER=nats-server  the peer, with sync_interval: always

A client publishes (many subjects; some with Nats-Msg-Id, some in atomic batches), consumes (plain and double acks, naks,
messages left to their time limit), deletes and purges, and keeps a journal of every answer. After each restart: nothing
acked is lost, nothing is there twice, nothing in another order, nothing that was consumed has vanished, nothing removed
is back, no consumer is ahead of its acks, redelivery counts go on. A cycle without a complaint has passed.

nats-server 2.15.1 passes for what is stored (--judge streams). Its consumers do not: it answers double acks before it
writes them down, and a purge with a filter lets a consumer of all subjects forget what it had pending below its end.
Given rest before each kill (--quiet-ms 2500) and no purges (--purges 0) they pass too.
"""

import argparse
import collections
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "Harness")]

import broker  # noqa: E402
from load import Load  # noqa: E402
from model import ConsumerModel, StreamModel  # noqa: E402
from wire import Gone, Refused, Silent, Wire  # noqa: E402

MESSAGES_MAX = 2500  # what a stream is purged down to after a restart, so that every cycle can read all of it
DRAIN_EVERY = 8
START_SECONDS = 30.0
DRAIN_SECONDS = 30.0


def kill_later(pid, seconds):
    """Forks a process that sends SIGKILL when its time comes, whatever this one is doing then. Returns its id."""
    child = os.fork()
    if child == 0:
        time.sleep(seconds)
        try:
            os.kill(pid, signal.SIGKILL)
        finally:
            os._exit(0)
    return child


class Crash:
    """The broker's store, the journal, and the cycles."""

    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        self.folder = tempfile.mkdtemp(prefix="crash-", dir=options.store)
        self.config = os.path.join(self.folder, "crash.conf")
        sync = f"  sync_interval: {options.sync}\n" if options.sync != "default" else ""
        with open(self.config, "w") as file:
            file.write(f'jetstream {{\n  store_dir: "{self.folder}"\n{sync}}}\n')
        self.faults = []
        self.number = 0
        self.made = False
        self.cycle = 0
        self.server = None
        self.tally = collections.Counter()
        log = StreamModel("LOG", "limits", options.storage, self.faults, options.judge == "all")
        log.consumers = [ConsumerModel(log, "double", True, 500), ConsumerModel(log, "plain", False, 250)]
        work = StreamModel("WORK", "workqueue", options.storage, self.faults, options.judge == "all")
        work.consumers = [ConsumerModel(work, "worker", True, 400)]
        self.streams = [log, work]

    def count(self):
        self.number += 1
        return self.number

    def start(self):
        self.server = broker.Broker("-a", "127.0.0.1", "-c", self.config, program=self.options.broker, wait=False)

    def wait_ready(self):
        try:
            self.server.wait_log(broker.READY, START_SECONDS)
        except TimeoutError as error:
            # Its log may end a moment before its exit shows.
            try:
                if self.server.process.wait(1) == -signal.SIGKILL:
                    raise Gone("killed while it started") from None
            except subprocess.TimeoutExpired:
                pass
            raise Silent(f"the broker did not start: {error}") from None

    def make(self, wire):
        for stream in self.streams:
            wire.request(f"STREAM.CREATE.{stream.name}", stream.config())
            for consumer in stream.consumers:
                wire.request(f"CONSUMER.CREATE.{stream.name}.{consumer.name}", {
                    "stream_name": stream.name,
                    "config": {"durable_name": consumer.name, "ack_policy": "explicit", "deliver_policy": "all",
                               "ack_wait": consumer.ack_wait_ms * 1_000_000, "max_ack_pending": 500}})
        self.made = True

    def read_all(self, wire, stream):
        """Every message, in order, through a consumer of its own; from a work queue, which takes no second consumer, one
        by one."""
        state = wire.request(f"STREAM.INFO.{stream.name}")["state"]
        contents = []
        if stream.retention == "workqueue":
            return state, self.read_each(wire, stream, state)
        if state["messages"]:
            name = wire.request(f"CONSUMER.CREATE.{stream.name}", {
                "stream_name": stream.name, "config": {
                    "ack_policy": "none", "deliver_policy": "all", "mem_storage": True,
                    "inactive_threshold": 60_000_000_000}})["name"]
            wire.send(b"SUB _INBOX.read 9\r\n")
            wire.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream.name}.{name}",
                         b'{"batch":%d,"expires":10000000000}' % state["messages"], "_INBOX.read")
            deadline = time.monotonic() + 15
            while len(contents) < state["messages"]:
                for subject, reply, header, payload in wire.pump(0.5):
                    if reply.startswith("$JS.ACK."):
                        contents.append((int(reply.split(".")[-4]), subject, header, payload))
                    else:
                        raise Silent(f"a reader of {stream.name} got {len(contents)} of {state['messages']}: {header!r}")
                if time.monotonic() > deadline:
                    raise Silent(f"a reader of {stream.name} got {len(contents)} of {state['messages']} messages")
            wire.send(b"UNSUB 9\r\n")
            wire.request(f"CONSUMER.DELETE.{stream.name}.{name}")
        return state, contents

    def read_each(self, wire, stream, state):
        """Message by message, all requests in one go."""
        import base64
        import json

        wire.send(b"SUB _INBOX.each.* 8\r\n")
        wanted = list(range(state["first_seq"], state["last_seq"] + 1)) if state["messages"] else []
        answers = {}
        for seq in wanted:
            wire.publish(f"$JS.API.STREAM.MSG.GET.{stream.name}", b'{"seq":%d}' % seq, f"_INBOX.each.{seq}")
        deadline = time.monotonic() + 20
        while len(answers) < len(wanted):
            for subject, _, _, payload in wire.pump(0.5):
                answers[int(subject.split(".")[2])] = json.loads(payload)
            if time.monotonic() > deadline:
                raise Silent(f"{len(answers)} of {len(wanted)} MSG.GETs of {stream.name} were answered")
        wire.send(b"UNSUB 8\r\n")
        contents = []
        for seq in wanted:
            if "message" in answers[seq]:
                message = answers[seq]["message"]
                contents.append((seq, message["subject"], base64.b64decode(message.get("hdrs", "")),
                                 base64.b64decode(message.get("data", ""))))
            elif answers[seq].get("error", {}).get("err_code") != 10037:
                stream.fault(f"MSG.GET of {seq} was refused: {answers[seq]}")
        return contents

    def check(self, wire):
        """Compares what the broker shows with the journal. Returns the publishes to send again, per stream."""
        shown = []
        for stream in self.streams:
            # Read first, judge then: a kill in between must not leave half a judgement.
            state, contents = self.read_all(wire, stream)
            infos = [wire.request(f"CONSUMER.INFO.{stream.name}.{consumer.name}") for consumer in stream.consumers]
            shown.append((stream, state, contents, infos))
        again = {}
        for stream, state, contents, infos in shown:
            again[stream.name] = stream.check_contents(state, contents)
            for consumer, info in zip(stream.consumers, infos):
                stream.check_consumer(consumer, info)
            self.tally["messages read"] += len(contents)
        return again

    def shrink(self, wire):
        for stream in self.streams:
            if len(stream.exists) > MESSAGES_MAX:
                end = sorted(stream.exists)[len(stream.exists) - MESSAGES_MAX // 2]
                seqs = {seq for seq in stream.exists if seq < end}
                stream.removing(seqs)
                wire.request(f"STREAM.PURGE.{stream.name}", {"seq": end})
                stream.removed(seqs)

    def duplicates(self, load, again):
        """What had no answer is sent again if it has an id, and some of what had: each must stay stored once."""
        for stream in self.streams:
            recent = time.monotonic() - 60
            stored = [p for p in (stream.published[stream.at[seq]] for seq in sorted(stream.exists))
                      if p.id and p.time > recent and p.number not in again[stream.name]]
            sample = self.random.sample(stored, min(5, len(stored)))
            load.again(stream, list(again[stream.name].values()) + sample)
            self.tally["publishes sent again"] += len(again[stream.name])

    def what_it_does(self):
        """Of a broker that does not answer: where its threads are, what it says of its consumers, and its last log lines."""
        words = []
        for task in sorted(os.listdir(f"/proc/{self.server.pid}/task"), key=int):
            lines = []
            for name in ("comm", "stat", "wchan"):
                try:
                    with open(f"/proc/{self.server.pid}/task/{task}/{name}") as file:
                        lines.append(file.read())
                except OSError as error:
                    lines.append(str(error))
            words.append(f"thread {lines[0].strip()} {lines[1].rpartition(')')[2].split()[:1]} {lines[2].strip()}")
        try:
            wire = Wire(self.server.port)
            for stream in self.streams:
                words.append(f"STREAM.INFO: {wire.request(f'STREAM.INFO.{stream.name}')['state']}")
                words.append(f"CONSUMER.LIST: {wire.request(f'CONSUMER.LIST.{stream.name}')['consumers']}")
            wire.close()
        except (Gone, Silent, Refused) as error:
            words.append(f"{type(error).__name__}: {error}")
        return words + ["its log: " + self.server.log[-1500:]]

    def run_cycle(self, last):
        """Start, check, work, kill."""
        self.cycle += 1
        drain = last or self.cycle % DRAIN_EVERY == 0
        self.start()
        early = self.made and not last and self.random.random() < 0.15
        killer = kill_later(self.server.pid, self.random.uniform(0, 0.25)) if early else None
        load = None
        try:
            self.wait_ready()
            wire = Wire(self.server.port)
            if not self.made:
                self.make(wire)
            for stream in self.streams:
                stream.restarted()
            again = self.check(wire)
            self.shrink(wire)
            wire.close()
            load = Load(self.random, self.streams, self.server.port, self.count, Wire, self.options.purges)
            if drain:
                load.drain(DRAIN_SECONDS)
                for stream in self.streams:
                    for consumer in stream.consumers:
                        stream.check_drained(consumer)
            self.duplicates(load, again)
            work = 0.0
            if last:
                return
            if killer is None:
                work = self.random.uniform(0.005, self.options.load_ms / 1000)
                killer = kill_later(self.server.pid, work + self.options.quiet_ms / 1000)
            load.run(work if self.options.quiet_ms else float("inf"))
        except Gone as error:
            self.tally["killed " + ("while working" if load else "while starting or being read")] += 1
            if load:
                load.last_words()
            elif killer is None:
                self.faults.append(f"the connection broke without a kill: {error}")
        except (Silent, Refused) as error:
            self.faults.append(f"{type(error).__name__}: {error}")
            self.faults += self.what_it_does()
        finally:
            if load:
                load.close()
            if killer is not None:
                os.waitpid(killer, 0)
                code = self.server.wait(START_SECONDS)
                if code != -signal.SIGKILL:
                    self.faults.append(f"the broker ended by itself, exit code {code}: " + self.server.log[-1500:])
            else:
                self.server.kill()

    def run(self):
        passed, failed, begun = 0, 0, time.monotonic()
        for cycle in range(1, self.options.cycles + 1):
            self.faults.clear()
            self.run_cycle(last=cycle == self.options.cycles)
            if self.faults:
                failed += 1
                print(f"--- FAILED cycle {cycle} of seed {self.options.seed}")
                for fault in self.faults[:20]:
                    print(f"    {fault}")
                if len(self.faults) > 20:
                    print(f"    and {len(self.faults) - 20} more")
                if failed >= self.options.failures:
                    print("crash: giving up")
                    break
            else:
                passed += 1
            if sys.stderr.isatty():
                print(f"\r{cycle}/{self.options.cycles} cycles, {self.number} messages", end="", file=sys.stderr)
        log, work = self.streams
        print(f"crash took {time.monotonic() - begun:.0f} s; seed {self.options.seed}; {self.number} messages sent, "
              f"{sum(len(c.answered) for s in self.streams for c in s.consumers)} acks answered, "
              f"{len(log.gone) + len(work.gone)} removed; "
              + ", ".join(f"{count} {what}" for what, count in sorted(self.tally.items())))
        if failed:
            print(f"crash: the store is kept in {self.folder}")
        else:
            shutil.rmtree(self.folder)
        print(f"crash: {passed} passed, {failed} failed")
        return failed == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=500)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--broker", default=None)
    parser.add_argument("--sync", default="always", help="sync_interval: always, a duration, never, or default")
    parser.add_argument("--storage", default="file", help="file; memory must fail, and shows that the checks bite")
    parser.add_argument("--load-ms", type=int, default=400, help="the longest time until a kill, once the load runs")
    parser.add_argument("--quiet-ms", type=int, default=0, help="let the broker rest so long before each kill")
    parser.add_argument("--purges", type=float, default=0.2, help="which share of removals are purges with a filter")
    parser.add_argument("--judge", default="all", choices=("all", "streams"), help="streams leaves out consumers' state")
    parser.add_argument("--store", default="/var/tmp", help="where the store is made")
    parser.add_argument("--failures", type=int, default=5, help="give up after so many failed cycles")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = int.from_bytes(os.urandom(3), "big")
    if not os.path.exists(broker.executable(options.broker)):
        sys.exit(f"crash: no broker at {broker.executable(options.broker)}; run `make build` first")
    good = Crash(options).run()
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
