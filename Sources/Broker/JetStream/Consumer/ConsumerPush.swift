// What only push consumers do: they follow the interest in their subject, send heartbeats, and hold back for flow control.

import Wire

extension Consumer {
    func beginPush(_ now: Instant) {
        let host = stream.host
        let target = host.target(Array(config.deliverSubject.utf8), queue: Array(config.deliverGroup.utf8))
        self.target = target
        host.watch(target) { [weak self] in self?.interestChanged() }
        isActive = host.hasInterest(target)
        if config.flowControl && flow == nil { flow = FlowControl() }
        setRateLimit(now)
        if settings.heartbeatNs > 0 { heartbeatDueNs = saturatingSum(now.monotonicNs, settings.heartbeatNs) }
        armInactivity(now)
    }

    func setRateLimit(_ now: Instant) {
        limiter = nil
        guard config.rateLimitBitsPerSecond > 0, !settings.isPull else { return }
        let largest = stream.config.maxMessageBytes
        limiter = RateLimiter(
            bitsPerSecond: config.rateLimitBitsPerSecond, burstBytes: largest > 0 ? Int(largest) : 1 << 20,
            nowNs: now.monotonicNs)
    }

    /// Somebody has subscribed to where the consumer delivers, or nobody does any more.
    func interestChanged() {
        guard !isStopped, let target else { return }
        let host = stream.host
        let isWanted = host.hasInterest(target)
        guard isWanted != isActive else { return }
        isActive = isWanted
        armInactivity(host.now)
        touch()
    }

    /// Looked at again after so long, and after twice as long each time that nothing has changed.
    private static let paceFirstNs: UInt64 = 1_000_000
    private static let paceLongestNs: UInt64 = 64_000_000

    /// Whether the client is still to receive so much that more would only fill the memory, and at last cut it off as slow.
    func isHeldBack(by target: DeliveryTarget, _ now: Instant) -> Bool {
        guard stream.host.isCongested(target) else {
            paceNs = 0
            return false
        }
        paceNs = min(max(Consumer.paceFirstNs, 2 * paceNs), Consumer.paceLongestNs)
        pacedUntilNs = saturatingSum(now.monotonicNs, paceNs)
        return true
    }

    /// Counts what flow control has to know of a delivery.
    func countFlow(_ bytes: Int) {
        let isFull =
            settings.ackPolicy == .flowControl && settings.maxAckPending > 0
            && state.pending.count >= settings.maxAckPending
        if flow?.count(bytes, isFull: isFull) == true { askForFlowControl() }
    }

    func askForFlowControl() {
        guard let target else { return }
        let subject = Array("$JS.FC.\(streamName).\(name).".utf8) + randomText(4, stream.host)
        flow?.asked(subject)
        send(ConsumerStatus.flowControl, to: target.subject, reply: subject)
    }

    /// The client's answer to a flow control request.
    func receive(flowControl message: Message) {
        guard !isStopped, let request = flow?.request, !request.isEmpty, request.count == message.subject.count,
            request.withUnsafeBytes({ ByteView($0) == message.subject })
        else { return }
        flow?.answered()
        touch()
        suppressDeletion()
        guard settings.ackPolicy == .flowControl, message.headerBytes > 0 else { return }
        let headers = ByteView(message.payload.base, message.headerBytes)
        guard let sequence = number("Nats-Last-Stream", in: headers), sequence > 0, sequence < nextSequence else { return }
        ackAll(sequence, delivery: number("Nats-Last-Consumer", in: headers) ?? 0)
    }

    /// The number behind a header's name. Clients copy what a heartbeat or status told them.
    private func number(_ name: StaticString, in headers: ByteView) -> UInt64? {
        var start = 0
        while start < headers.count {
            var end = start
            while end < headers.count && headers[end] != 0x0D { end += 1 }
            let line = ByteView(headers.base + start, end - start)
            if line.hasPrefix(name), line.count > name.utf8CodeUnitCount, line[name.utf8CodeUnitCount] == UInt8(ascii: ":") {
                let value = line.buffer[(name.utf8CodeUnitCount + 1)...].drop { $0 == 0x20 }
                return UInt64(String(decoding: value, as: UTF8.self))
            }
            start = end + 2
        }
        return nil
    }

    /// Tells a listener how far the consumer is, so that it can see what it has missed.
    func sendHeartbeat(to subject: [UInt8]) {
        let stream = state.lastPerSubject.isEmpty ? nextSequence &- 1 : state.delivered.stream
        send(
            ConsumerStatus.heartbeat(
                consumer: state.delivered.consumer, stream: stream, stalled: flow?.request ?? []), to: subject)
    }

    func heartbeat(_ now: Instant) {
        guard heartbeatDueNs <= now.monotonicNs, let target else { return }
        heartbeatDueNs = saturatingSum(now.monotonicNs, settings.heartbeatNs)
        guard isActive else { return }
        sendHeartbeat(to: target.subject)
        if settings.ackPolicy == .flowControl, !state.pending.isEmpty, flow?.isWaiting == false { askForFlowControl() }
    }
}
