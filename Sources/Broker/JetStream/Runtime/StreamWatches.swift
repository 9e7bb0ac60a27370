// What a stream wants to hear of when subscriptions come or go: the targets of push consumers and of pull requests, and those who
// wait for its loss reports.

import Reactor

/// Owned by the stream's loop.
final class StreamWatches {
    private struct Watch {
        var number: UInt64
        /// Its number in the index.
        var indexed: UInt64
        var changed: () -> Void
    }

    private let serial: UInt64
    private let index: SubjectIndex
    private let mailbox: Mailbox
    private var byTarget: [ObjectIdentifier: Watch] = [:]
    private var targets: [UInt64: ObjectIdentifier] = [:]
    private var last: UInt64 = 0

    init(of serial: UInt64, _ index: SubjectIndex, _ loop: EventLoop) {
        self.serial = serial
        self.index = index
        mailbox = loop.mailbox
    }

    /// Has `changed` called on this loop, in a later turn, when subscriptions to a target's subject come or go.
    func add(_ target: DeliveryTarget, _ changed: @escaping () -> Void) {
        remove(target)
        last += 1
        let number = last, serial = serial, mailbox = mailbox
        let indexed = index.watches.add(target.subject) {
            mailbox.post { loop in (loop.context as? Router)?.streams?.stream(serial)?.interestChanged(number) }
        }
        byTarget[ObjectIdentifier(target)] = Watch(number: number, indexed: indexed, changed: changed)
        targets[number] = ObjectIdentifier(target)
    }

    func remove(_ target: DeliveryTarget) {
        guard let watch = byTarget.removeValue(forKey: ObjectIdentifier(target)) else { return }
        targets[watch.number] = nil
        index.watches.remove(watch.indexed)
    }

    /// What the index has posted has come: the watch may be gone by now.
    func changed(_ number: UInt64) {
        guard let target = targets[number], let watch = byTarget[target] else { return }
        watch.changed()
    }

    func end() {
        for watch in byTarget.values { index.watches.remove(watch.indexed) }
        byTarget = [:]
        targets = [:]
    }
}
