"""What must be true of a stream and its consumers, whatever moment the broker was killed at.

`StreamModel` keeps the journal of every publish, ack, delivery, delete and purge that the client knows of, and compares
what the broker shows after each restart with it. A thing is known (an ack came), possible (sent, no answer), or not.
"""

import hashlib
import json


class Publish:
    """One publish. `number` names it in its payload; `seq` is what its ack, or a reader, said."""

    __slots__ = ("number", "subject", "id", "seq", "acked", "batch", "time")

    def __init__(self, number, subject, message_id, batch, time):
        self.number, self.subject, self.id = number, subject, message_id
        self.batch, self.time = batch, time
        self.seq, self.acked = None, False

    def payload(self):
        """Derived from the number, so that every byte can be checked; some are larger than a page."""
        digest = hashlib.blake2b(b"%d" % self.number, digest_size=8).digest()
        size = (0, 16, 100, 128, 400, 1000, 1500, 9000)[digest[0] % 8] if digest[1] else 40_000
        return b"%d " % self.number + (digest.hex().encode() * (size // 16 + 1))[:size]


class ConsumerModel:
    """A durable pull consumer's acks and deliveries. `double`: its acks ask for an answer."""

    def __init__(self, stream, name, double, ack_wait_ms):
        self.stream, self.name, self.double, self.ack_wait_ms = stream, name, double, ack_wait_ms
        self.sent = set()  # sequences whose ack left
        self.answered = set()  # sequences whose ack was answered: durable
        self.counts = {}  # sequence -> highest delivery count seen
        self.sure = {}  # sequence -> highest count that a later answered ack makes durable
        self.journal = []  # (sequence, count) not yet made sure
        self.asked = 0
        self.highest_new = 0  # of first deliveries in this cycle
        self.delivered_now = set()  # sequences delivered since the last restart

    def restarted(self):
        self.asked, self.highest_new = 0, 0
        self.delivered_now.clear()
        self.journal.clear()


class StreamModel:
    """One stream, published to over one connection. Complaints collect in `faults`."""

    def __init__(self, name, retention, storage, faults, judge_consumers):
        self.name, self.retention, self.storage = name, retention, storage
        self.prefix = name.lower()
        self.consumers = []
        self.faults = faults
        self.judge_consumers = judge_consumers
        self.published = {}  # number -> Publish
        self.at = {}  # sequence -> number, for all that an ack, a delivery or a reader showed
        self.exists = set()  # sequences that the last reading showed, or an ack since
        self.gone = set()  # sequences whose removal was answered
        self.maybe_gone = set()  # sequences whose removal was asked for
        self.acked_away = {}  # sequence -> the consumer whose ack removed it
        self.gone_before = frozenset()  # `gone` as it was at the last restart
        self.open = {}  # number -> Publish: sent in this cycle, without an ack
        self.highest = 0
        self.sent_now = []  # numbers sent in this cycle, in order, first copies only

    def config(self):
        return {"name": self.name, "subjects": [f"{self.prefix}.>"], "retention": self.retention,
                "storage": self.storage, "allow_atomic": True, "duplicate_window": 120_000_000_000}

    def fault(self, text, consumer=None):
        """A complaint, about a consumer's state or, without one, about what is stored."""
        if consumer is None or self.judge_consumers:
            self.faults.append(f"{self.name}: {consumer.name + ': ' if consumer else ''}{text}")

    # The journal.

    def saw(self, seq, number, how):
        """A sequence was shown to hold a message: by an ack, a delivery or a reader. It may never hold another."""
        known = self.at.setdefault(seq, number)
        if known != number:
            self.fault(f"{how}: sequence {seq} holds message {number}; it held {known}")
        publish = self.published.get(number)
        if publish is None:
            self.fault(f"{how}: sequence {seq} holds message {number}, which nobody sent")
        elif publish.seq is None:
            publish.seq = seq
        elif publish.seq != seq:
            self.fault(f"{how}: message {number} (id {publish.id}) is at {seq}; it was stored at {publish.seq}")
        self.highest = max(self.highest, seq)

    def sent(self, publish):
        if publish.number not in self.published:
            self.published[publish.number] = publish
            self.sent_now.append(publish.number)
        self.open[publish.number] = publish

    def acked(self, number, body):
        """A PubAck came."""
        answer = json.loads(body) if body else {}
        publish = self.open.pop(number, None)
        if publish is None:
            return self.fault(f"an ack for message {number}, which awaits none: {body[:200]}")
        if "error" in answer:
            return self.fault(f"message {number} was refused: {answer['error']}")
        seq = answer["seq"]
        if answer.get("duplicate") and not publish.id:
            self.fault(f"message {number} without an id was called a duplicate")
        if publish.batch:
            # The ack is the commit's: the batch's messages stand one after the other, its last at `seq`.
            numbers = publish.batch
            if answer.get("count") != len(numbers):
                self.fault(f"the batch of {len(numbers)} that ends with {number} was acked as {answer}")
            for offset, member in enumerate(numbers):
                self.open.pop(member, None)
                self._stored(self.published[member], seq - len(numbers) + 1 + offset)
        else:
            self._stored(publish, seq)

    def _stored(self, publish, seq):
        self.saw(seq, publish.number, "ack")
        publish.acked = True
        if seq not in self.gone and seq not in self.maybe_gone:
            self.exists.add(seq)

    def delivered(self, consumer, seq, count, payload, subject):
        """A message came to a consumer."""
        number = number_of(payload)
        self.saw(seq, number, f"delivery to {consumer.name}")
        publish = self.published.get(number)
        if publish and (publish.payload() != payload or publish.subject != subject):
            self.fault(f"delivery to {consumer.name}: message {number} at {seq} has other bytes or another subject")
        if seq in consumer.answered:
            self.fault(f"{seq} was delivered again; its ack was answered", consumer)
        if seq in self.gone_before:
            self.fault(f"{seq} was delivered, which was deleted before the restart", consumer)
        # A delivery that a later answered ack has made durable counts; the latest one may be forgotten.
        least = max(consumer.sure.get(seq, 0) + 1, consumer.counts.get(seq, 0))
        if count < least:
            self.fault(f"{seq} was delivered with count {count}; at least {least} was due ({consumer.sure.get(seq, 0)} is "
                       f"durable, {consumer.counts.get(seq, 0)} was seen)", consumer)
        if count == 1:
            if seq <= consumer.highest_new:
                self.fault(f"{seq} was delivered for the first time after {consumer.highest_new}", consumer)
            consumer.highest_new = max(consumer.highest_new, seq)
        consumer.counts[seq] = max(count, consumer.counts.get(seq, 0))
        consumer.journal.append((seq, count))
        consumer.delivered_now.add(seq)

    def ack_sent(self, consumer, seq):
        consumer.sent.add(seq)
        if self.retention == "workqueue":
            self.maybe_gone.add(seq)
        return len(consumer.journal)

    def ack_answered(self, consumer, seq, position):
        """A double ack's answer: the ack is durable, and so is every delivery from before it was sent."""
        consumer.answered.add(seq)
        for delivered, count in consumer.journal[:position]:
            consumer.sure[delivered] = max(count, consumer.sure.get(delivered, 0))
        if self.retention == "workqueue":
            self.removed([seq])
            self.acked_away[seq] = consumer

    def removing(self, seqs):
        self.maybe_gone.update(seqs)

    def removed(self, seqs):
        self.gone.update(seqs)
        self.exists.difference_update(seqs)

    # After a restart.

    def restarted(self):
        for consumer in self.consumers:
            consumer.restarted()

    def check_contents(self, state, contents):
        """`contents`: (seq, subject, header, payload) of all messages, as a reader saw them after the restart."""
        seen, last = {}, 0
        for seq, subject, header, payload in contents:
            number = number_of(payload)
            if seq <= last:
                self.fault(f"the reader saw {seq} after {last}")
            last = seq
            if number in seen:
                self.fault(f"message {number} is there twice, at {seen[number]} and {seq}")
            seen[number] = seq
            self.saw(seq, number, "reading")
            publish = self.published.get(number)
            if publish is None:
                continue
            if publish.payload() != payload or publish.subject != subject:
                self.fault(f"message {number} at {seq} has other bytes or another subject")
            if (b"Nats-Msg-Id: %s\r\n" % publish.id.encode() if publish.id else b"") not in header:
                self.fault(f"message {number} at {seq} has lost its id: {header!r}")
        present = set(seen.values())
        for seq in sorted(self.gone & present):
            # In a work queue the removal is the consumer's, by an ack that was answered.
            self.fault(f"{seq} is back; its removal was answered", self.acked_away.get(seq))
            self.gone.discard(seq)
        # All that an ack, a delivery or an earlier reading showed.
        for seq, number in self.at.items():
            if seq not in present and seq not in self.gone and seq not in self.maybe_gone:
                how = "acked" if self.published[number].acked else "delivered or read"
                self.fault(f"message {number} at {seq} is lost; it was {how}")
        self._check_order(seen)
        self._check_state(state, seen)
        self.gone |= {seq for seq in self.maybe_gone if seq in self.at and seq not in present}
        self.maybe_gone.clear()
        self.gone_before = frozenset(self.gone)
        self.exists = present
        # What did not survive never happened; what has an id is sent again.
        again = {number: publish for number, publish in self.open.items()
                 if publish.id and (publish.seq is None or publish.seq in present)}
        self.open.clear()
        self.sent_now = []
        return again

    def _check_order(self, seen):
        """In order of sending; nothing missing before something present; batches whole or not at all."""
        last, missing = 0, None
        for number in self.sent_now:
            publish = self.published[number]
            if publish.seq is None:
                missing = missing or number
                continue
            if publish.seq <= last:
                self.fault(f"message {number} at {publish.seq} was sent after the one at {last}")
            last = publish.seq
            if missing is not None:
                self.fault(f"message {missing} is missing, but {number}, sent later, is at {publish.seq}")
                missing = None
        for number in self.sent_now:
            publish = self.published[number]
            if publish.batch and publish.batch[-1] == number:
                there = [member for member in publish.batch if self.published[member].seq is not None]
                if there and len(there) != len(publish.batch):
                    self.fault(f"of the atomic batch {publish.batch} only {there} are there")

    def _check_state(self, state, seen):
        if state["messages"] != len(seen):
            self.fault(f"the state says {state['messages']} messages; there are {len(seen)}")
        if state["last_seq"] < self.highest:
            self.fault(f"the last sequence is {state['last_seq']}; {self.highest} was seen")
        if seen and state["first_seq"] != min(seen.values()):
            self.fault(f"the first sequence is {state['first_seq']}, not {min(seen.values())}")

    def check_consumer(self, consumer, info):
        """What the consumer says of itself is never ahead of the acks that left."""
        floor = info["ack_floor"]["stream_seq"]
        skipped = sorted(seq for seq in self.exists if seq <= floor and seq not in consumer.sent)
        if skipped:
            self.fault(f"the ack floor is {floor}; never acked: {skipped[:5]}", consumer)
        if info["delivered"]["stream_seq"] > self.highest:
            self.fault(f"delivered up to {info['delivered']['stream_seq']} of {self.highest}", consumer)
        left = info["num_pending"] + info["num_ack_pending"]
        least = len(self.exists - consumer.sent)
        if left < least:
            self.fault(f"{left} messages are left; {least} were never acked", consumer)

    def check_drained(self, consumer):
        """After a drain nothing is left: what had not been acked was delivered again, and acked."""
        left = sorted(self.exists - consumer.sent)
        if left:
            self.fault(f"nothing is left, but never delivered again: {left[:5]} ({len(left)} in all)", consumer)


def number_of(payload):
    """A message's number; -1 where the payload is none of ours."""
    digits = payload.split(b" ", 1)[0]
    return int(digits) if digits.isdigit() else -1
