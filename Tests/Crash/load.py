"""What the client does to a broker until it dies: publishes, pulls, acks, deletes and purges, in seeded proportions."""

import json
import time

from model import Publish
from wire import Gone, Silent

SUBJECTS = 20
PULL = 100


class Load:
    """One cycle's work over two connections: one publishes, one consumes and removes."""

    def __init__(self, random, streams, port, counter, wire, purges):
        self.random, self.streams, self.counter, self.purges = random, streams, counter, purges
        self.out, self.back = wire(port), wire(port)
        self.by_name = {stream.name: stream for stream in streams}
        self.window = random.choice((1, 16, 256, 1000))
        self.acks = {}  # reply -> (stream, consumer, sequence, position)
        self.removals = {}  # reply -> (stream, sequences)
        self.replies = 0
        self.out.send(b"SUB _INBOX.pub.*.* 2\r\n")
        self.back.send(b"SUB _INBOX.pull.*.* 2\r\nSUB _INBOX.ack.* 3\r\nSUB _INBOX.gone.* 4\r\n")
        self.out.settle()
        self.back.settle()

    def close(self):
        self.out.close()
        self.back.close()

    # Publishing.

    def publish_some(self):
        for stream in self.streams:
            room = self.window - len(stream.open)
            for _ in range(min(room, self.random.choice((1, 5, 40)))):
                if self.random.random() < 0.03:
                    self._batch(stream)
                else:
                    self._one(stream)

    def again(self, stream, publishes):
        """Sends publishes again that have an id: stored once, whether or not the first copy arrived."""
        for publish in publishes:
            stream.sent(publish)
            self._send(stream, publish)

    def _new(self, stream, message_id=None, batch=None):
        number = self.counter()
        subject = f"{stream.prefix}.{self.random.randrange(SUBJECTS)}"
        return Publish(number, subject, message_id and f"id-{number}", batch, time.monotonic())

    def _one(self, stream):
        publish = self._new(stream, message_id=self.random.random() < 0.5)
        stream.sent(publish)
        self._send(stream, publish)

    def _send(self, stream, publish):
        header = b"Nats-Msg-Id: %s\r\n" % publish.id.encode() if publish.id else b""
        self.out.publish(publish.subject, publish.payload(), f"_INBOX.pub.{stream.name}.{publish.number}", header)

    def _batch(self, stream):
        members = [self._new(stream) for _ in range(self.random.randrange(2, 7))]
        numbers = [member.number for member in members]
        for step, member in enumerate(members, 1):
            member.batch = numbers
            stream.sent(member)
            header = b"Nats-Batch-Id: b%d\r\nNats-Batch-Sequence: %d\r\n" % (numbers[0], step)
            reply = ""
            if step == len(members):
                header += b"Nats-Batch-Commit: 1\r\n"
                reply = f"_INBOX.pub.{stream.name}.{member.number}"
            self.out.publish(member.subject, member.payload(), reply, header)

    def take_acks(self, seconds):
        for subject, _, _, payload in self.out.pump(seconds):
            _, _, name, number = subject.split(".")
            self.by_name[name].acked(int(number), payload)

    # Consuming.

    def pull(self):
        for stream in self.streams:
            for consumer in stream.consumers:
                if consumer.asked <= PULL // 2:
                    consumer.asked += PULL
                    self.back.publish(
                        f"$JS.API.CONSUMER.MSG.NEXT.{stream.name}.{consumer.name}",
                        b'{"batch":%d,"expires":5000000000}' % PULL, f"_INBOX.pull.{stream.name}.{consumer.name}")

    def take_deliveries(self, seconds, drain=False):
        for subject, reply, header, payload in self.back.pump(seconds):
            if reply.startswith("$JS.ACK."):
                self._delivery(subject, reply, payload, drain)
            elif subject.startswith("_INBOX.pull."):
                _, _, name, consumer_name = subject.split(".")
                for consumer in self.by_name[name].consumers:
                    if consumer.name == consumer_name:
                        consumer.asked = 0  # a status: the request has ended
            elif subject in self.acks:
                stream, consumer, seq, position = self.acks.pop(subject)
                stream.ack_answered(consumer, seq, position)
            elif subject in self.removals:
                stream, seqs = self.removals.pop(subject)
                answer = json.loads(payload)
                if answer.get("success"):
                    stream.removed(seqs)
                elif answer.get("error", {}).get("err_code") not in (10057, 10043):
                    stream.fault(f"a removal was refused: {answer}")

    def _delivery(self, subject, reply, payload, drain):
        fields = reply.split(".")
        stream = self.by_name[fields[2] if len(fields) == 9 else fields[4]]
        name = fields[3] if len(fields) == 9 else fields[5]
        (consumer,) = [each for each in stream.consumers if each.name == name]
        count, seq = int(fields[-5]), int(fields[-4])
        consumer.asked -= 1
        stream.delivered(consumer, seq, count, payload, subject)
        chance = self.random.random()
        if not drain and chance < (0.05 if count == 1 else 0.3):
            return  # left to its time limit
        if not drain and chance < (0.08 if count == 1 else 0.4):
            self.back.publish(reply, b"-NAK")
            return
        answer = ""
        if consumer.double or drain:
            self.replies += 1
            answer = f"_INBOX.ack.{self.replies}"
            self.acks[answer] = (stream, consumer, seq, stream.ack_sent(consumer, seq))
        else:
            stream.ack_sent(consumer, seq)
        self.back.publish(reply, b"+ACK", answer)

    # Removing.

    def remove_something(self):
        """A delete of one message, or a purge of a subject up to a sequence that has been acked: its effect is known."""
        stream = self.random.choice(self.streams)
        known = [seq for seq in stream.exists if stream.published[stream.at[seq]].acked]
        if not known or self.removals:
            return
        self.replies += 1
        reply = f"_INBOX.gone.{self.replies}"
        if self.random.random() >= self.purges:
            seqs = {self.random.choice(known)}
            body = {"seq": min(seqs), "no_erase": self.random.random() < 0.5}
            action = "MSG.DELETE"
        else:
            subject = f"{stream.prefix}.{self.random.randrange(SUBJECTS)}"
            end = self.random.choice(known)
            seqs = {seq for seq, number in stream.at.items()
                    if seq < end and seq not in stream.gone and stream.published[number].subject == subject}
            body, action = {"filter": subject, "seq": end}, "PURGE"
        stream.removing(seqs)
        self.removals[reply] = (stream, seqs)
        self.back.publish(f"$JS.API.STREAM.{action}.{stream.name}", json.dumps(body).encode(), reply)

    # The whole.

    def run(self, quiet_after):
        """Until the broker dies and Gone is raised. After `quiet_after` seconds it only takes, and acks, what comes."""
        begun = time.monotonic()
        while True:
            if time.monotonic() - begun > quiet_after:
                self.take_acks(0.005)
                self.take_deliveries(0.005, drain=True)
                continue
            self.publish_some()
            self.pull()
            if self.random.random() < 0.1:
                self.remove_something()
            self.take_acks(0.001)
            self.take_deliveries(0.001)

    def last_words(self):
        """Takes what is left on either connection after the broker's death."""
        for take in (self.take_acks, self.take_deliveries):
            try:
                while True:
                    take(0.5)
            except Gone:
                pass

    def drain(self, seconds):
        """Acks everything that the consumers have left, each ack with an answer; returns when nothing is left."""
        deadline = time.monotonic() + seconds
        while True:
            self.pull()
            self.take_acks(0)
            self.take_deliveries(0.02, drain=True)
            if not self.acks:
                left = []
                for stream in self.streams:
                    for consumer in stream.consumers:
                        info = self.out.request(f"CONSUMER.INFO.{stream.name}.{consumer.name}")
                        if info["num_pending"] or info["num_ack_pending"]:
                            left.append((consumer.name, info["num_pending"], info["num_ack_pending"], info["num_waiting"],
                                         info["delivered"], info["ack_floor"], f"{consumer.asked} asked for"))
                if not left:
                    return
                if time.monotonic() > deadline:
                    raise Silent(f"not drained in {seconds} s: {left}")
