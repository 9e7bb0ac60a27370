// One stream on its loop: its endpoints in the subject index, its timer, its commits, and its way out to clients.

import Glibc
import Reactor
import Store
import Wire

/// Owned by one loop. The host of its stream.
final class StreamRuntime: StreamHost {
    let serial: UInt64
    let account: JetStreamAccount
    unowned let loop: JetStreamLoop
    /// Set once, right after the making: a stream needs its host, and the host its stream.
    private(set) var stream: Stream?
    /// It is on the loop's list for the end of this turn.
    var isActive = false
    private var timer: TimerID?
    private var timerNs: UInt64 = .max
    private var captured: [EndpointSubscription] = []
    private var watches: [ObjectIdentifier: UInt64] = [:]
    private var watchCalls: [UInt64: () -> Void] = [:]
    /// Bytes taken in and not yet handed to a commit, and those that are being committed: part of the loop's backlog.
    private var freshBytes = 0
    private var committingBytes = 0

    init(serial: UInt64, account: JetStreamAccount, loop: JetStreamLoop) {
        self.serial = serial
        self.account = account
        self.loop = loop
    }

    var index: SubjectIndex { account.account.index }
    private var router: Router { loop.router }

    func attach(_ stream: Stream) { self.stream = stream }

    // MARK: Turns

    /// Something has happened to the stream: it is asked at the end of the turn what follows.
    func touch() { loop.touch(self) }

    func turnEnded() {
        stream?.turnEnded()
        setTimer()
    }

    private func setTimer() {
        let next = stream?.nextDeadlineNs ?? .max
        // An early timer asks again; only a late one is wrong.
        if next >= timerNs { return }
        if let timer { router.loop.cancel(timer) }
        timerNs = next
        let nowNs = Clock.monotonicNs()
        let delayMs = next > nowNs ? (next - nowNs + 999_999) / 1_000_000 : 0
        timer = router.loop.schedule(afterMs: Int(clamping: min(delayMs, 86_400_000))) { [unowned self] in
            timer = nil
            timerNs = .max
            stream?.advance()
            touch()
        }
    }

    // MARK: Subjects

    /// Captures exactly these subjects from now on.
    func capture(_ subjects: [String]) {
        captured.removeAll { subscription in
            guard !subjects.contains(subscription.subject) else { return false }
            subscription.end()
            return true
        }
        for subject in subjects where !captured.contains(where: { $0.subject == subject }) {
            captured.append(
                EndpointSubscription(subject, router: router, index: index) { [unowned self] message, _ in
                    take(message)
                })
        }
    }

    private func take(_ message: Message) {
        freshBytes += message.payload.count
        router.broker.backlog.add(router.loop.index, message.payload.count)
        stream?.receive(message)
        touch()
    }

    /// Leaves the index and the timers.
    func stop() {
        for subscription in captured { subscription.end() }
        captured = []
        for watch in watches.values { index.watches.remove(watch) }
        watches = [:]
        watchCalls = [:]
        if let timer { router.loop.cancel(timer) }
        timer = nil
        router.broker.backlog.add(router.loop.index, -freshBytes - committingBytes)
        freshBytes = 0
        committingBytes = 0
    }

    // MARK: StreamHost

    var now: Instant { Instant(wallNs: Clock.wallNs(), monotonicNs: Clock.monotonicNs()) }

    func random() -> UInt64 { router.randomBits() }

    func publish(_ subject: ByteView, reply: ByteView, headers: ByteView, payload: ByteView) {
        router.publish(index, subject: subject, reply: reply, headers: headers, payload: payload)
    }

    func target(_ subject: [UInt8], queue: [UInt8]) -> DeliveryTarget { RoutedTarget(subject: subject, queue: queue) }

    func deliver(_ delivery: Delivery, to target: DeliveryTarget) -> Bool {
        // All targets are made above.
        router.deliver(delivery, to: unsafeDowncast(target, to: RoutedTarget.self), index)
    }

    func hasInterest(_ target: DeliveryTarget) -> Bool { router.hasInterest(target, index) }
    func hasInterest(_ subject: ByteView) -> Bool { router.hasInterest(subject, index) }

    func watch(_ target: DeliveryTarget, _ changed: @escaping () -> Void) {
        let serial = self.serial
        let mailbox = router.loop.mailbox
        let key = ObjectIdentifier(target)
        if let old = watches[key] { index.watches.remove(old) }
        let number = nextWatch
        nextWatch += 1
        watchCalls[number] = changed
        watchNumbers[key] = number
        watches[key] = index.watches.add(target.subject) {
            mailbox.post { loop in (loop.context as? Router)?.streams?.stream(serial)?.interestChanged(number) }
        }
    }

    func unwatch(_ target: DeliveryTarget) {
        let key = ObjectIdentifier(target)
        if let watch = watches.removeValue(forKey: key) { index.watches.remove(watch) }
        if let number = watchNumbers.removeValue(forKey: key) { watchCalls[number] = nil }
    }

    private var nextWatch: UInt64 = 0
    private var watchNumbers: [ObjectIdentifier: UInt64] = [:]

    private func interestChanged(_ number: UInt64) {
        guard let changed = watchCalls[number] else { return }
        changed()
        touch()
    }
}
