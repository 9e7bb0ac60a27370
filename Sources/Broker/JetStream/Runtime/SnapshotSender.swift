// Sends a snapshot of a stream to a subject, piece by piece, no faster than its receiver acknowledges the pieces.

import Reactor
import Wire

/// On the stream's loop. `StreamRuntime` keeps it until it has ended, and calls `turnEnded`.
final class SnapshotSender {
    /// The sizes that a request may ask for, and those that it gets if it does not: nats-server's own.
    private static let chunkBytesDefault = 128 << 10, chunkBytesMin = 1 << 10, chunkBytesMax = 1 << 20
    private static let windowBytesDefault = 8 << 20, windowBytesMin = 1 << 10, windowBytesMax = 32 << 20
    /// How long somebody may take to subscribe, and to acknowledge a piece.
    private static let interestMs = 2_000
    private static let flowMs = 5_000
    private static let pollMs = 50
    /// What is read and sent in one turn before others have theirs.
    private static let turnBytes = 1 << 20

    private unowned let runtime: StreamRuntime
    private let call: APICall
    private let target: [UInt8]
    private let chunkBytes: Int
    /// Pieces that may be on their way.
    private let inFlightMax: Int
    private var source: SnapshotSource
    private let ackSubject: String
    private var acks: EndpointSubscription?
    private var timer: TimerID?
    private let startNs = Clock.wallNs()
    private var sent = 0
    private var acked = 0
    private var hasInterest = false
    private var isLoading = false
    private var isPolling = false
    private(set) var isEnded = false

    init(_ runtime: StreamRuntime, _ call: APICall, _ request: StreamSnapshotRequest, _ source: SnapshotSource) {
        self.runtime = runtime
        self.call = call
        self.source = source
        target = Array(request.deliverSubject.utf8)
        let asked = request.chunkBytes > 0 ? request.chunkBytes : SnapshotSender.chunkBytesDefault
        chunkBytes = min(max(asked, SnapshotSender.chunkBytesMin), SnapshotSender.chunkBytesMax)
        let window = request.windowBytes > 0 ? request.windowBytes : SnapshotSender.windowBytesDefault
        let windowBytes = min(max(window, SnapshotSender.windowBytesMin, chunkBytes), SnapshotSender.windowBytesMax)
        inFlightMax = max(1, windowBytes / chunkBytes)
        let name = runtime.entry.config.name
        ackSubject = "$JS.SNAPSHOT.ACK.\(name).\(String(decoding: originToken(runtime.random()), as: UTF8.self))"
        acks = EndpointSubscription(ackSubject + ".>", router: runtime.router, index: runtime.index) { [weak self] _, _ in
            self?.acknowledged()
        }
        wait(SnapshotSender.interestMs)
    }

    private var isWanted: Bool { target.withUnsafeBytes { runtime.hasInterest(ByteView($0)) } }

    private func acknowledged() {
        guard acked < sent else { return }
        acked += 1
        wait(SnapshotSender.flowMs)
        runtime.touch()
    }

    private func wait(_ ms: Int) {
        if let timer { runtime.router.loop.cancel(timer) }
        timer = runtime.router.loop.schedule(afterMs: ms) { [weak self] in
            guard let self else { return }
            timer = nil
            end(isWanted ? "408 No Flow Response" : "408 No Interest", failure: hasInterest ? "no flow response" : nil)
        }
    }

    func turnEnded() {
        guard !isEnded, !isLoading else { return }
        if !hasInterest {
            guard isWanted else { return poll() }
            hasInterest = true
            wait(SnapshotSender.flowMs)
        }
        var turnBytes = 0
        while sent - acked < inFlightMax {
            if turnBytes >= SnapshotSender.turnBytes { return runtime.touch() }
            switch source.next(chunkBytes) {
            case .waiting: return load()
            case .end: return end("204")
            case .failed(let reason): return end("500 \(reason)", failure: reason)
            case .bytes(let bytes):
                turnBytes += bytes.count
                if bytes.count < chunkBytes {
                    // The last one needs no ack: what follows says that it was the last.
                    publish(bytes, reply: "")
                    return end("204")
                }
                sent += 1
                publish(bytes, reply: "\(ackSubject).\(bytes.count).\(sent)")
            }
        }
        if !isWanted { end("408 No Interest", failure: "no interest") }
    }

    /// Looks again for somebody who subscribes.
    private func poll() {
        guard !isPolling else { return }
        isPolling = true
        runtime.router.loop.schedule(afterMs: SnapshotSender.pollMs) { [weak self] in
            guard let self, !isEnded else { return }
            isPolling = false
            runtime.touch()
        }
    }

    private func load() {
        isLoading = true
        runtime.stream?.afterLoad { [weak self] in
            self?.isLoading = false
            self?.runtime.touch()
        }
    }

    private func publish(_ payload: [UInt8], reply: String, headers: [UInt8] = []) {
        target.withUnsafeBytes { subject in
            Array(reply.utf8).withUnsafeBytes { reply in
                headers.withUnsafeBytes { headers in
                    payload.withUnsafeBytes { payload in
                        runtime.publish(
                            ByteView(subject), reply: ByteView(reply), headers: ByteView(headers), payload: ByteView(payload))
                    }
                }
            }
        }
    }

    /// An empty message with a status is the last one.
    func end(_ status: String, failure: String? = nil) {
        guard !isEnded else { return }
        isEnded = true
        if let timer { runtime.router.loop.cancel(timer) }
        timer = nil
        acks?.end()
        acks = nil
        publish([], reply: "", headers: Array("NATS/1.0 \(status)\r\n\r\n".utf8))
        let name = runtime.entry.config.name, start = startNs
        Advisory.publish(
            Advisory.prefix + "STREAM.SNAPSHOT_COMPLETE.\(name)", "snapshot_complete", by: call, router: runtime.router
        ) { json, call, server in
            json.member("stream", name)
            json.time("start", start)
            json.time("end", Clock.wallNs())
            json.client(call, server: server)
            if let failure { json.member("error", failure) }
        }
        runtime.touch()
    }
}

extension StreamRuntime {
    /// Each reads the log and holds a window of what it has sent.
    private static let snapshotsMax = 8

    /// Sends a snapshot until it has ended.
    private func keep(_ snapshot: SnapshotSender) { snapshots.append(snapshot) }

    func sendSnapshots() {
        if snapshots.isEmpty { return }
        for snapshot in snapshots { snapshot.turnEnded() }
        snapshots.removeAll { $0.isEnded }
    }

    func endSnapshots() {
        for snapshot in snapshots { snapshot.end("500 the stream is gone", failure: "the stream is gone") }
        snapshots = []
    }

    /// STREAM.SNAPSHOT: answers with what the stream is, and sends the snapshot behind that.
    func snapshot(_ call: APICall) {
        let request: StreamSnapshotRequest
        do throws(APIError) {
            request = try call.body.withUnsafeBufferPointer { body throws(APIError) in
                try StreamSnapshotRequest.decode(
                    ByteView(UnsafeRawBufferPointer(body)), isStrict: loop.shared.options.isStrict)
            }
            guard SubjectText.isValidLiteral(request.deliverSubject) else { throw .snapshotDeliverSubjectInvalid }
            if snapshots.count + snapshotsAsked >= StreamRuntime.snapshotsMax {
                throw .streamSnapshot("too many snapshots at once")
            }
        } catch {
            return router.refuse(call, error)
        }
        // What it holds must not be taken back by a crash.
        snapshotsAsked += 1
        stream?.afterCommit { [weak self] error in
            guard let self else { return }
            snapshotsAsked -= 1
            guard let stream else { return }
            if let error { return router.refuse(call, .streamSnapshot(error.description)) }
            var info = info()
            info.config = stream.config
            let name = entry.config.name
            let state = info.state
            Advisory.publish(
                Advisory.prefix + "STREAM.SNAPSHOT_CREATE.\(name)", "snapshot_create", by: call, router: router
            ) { json, call, server in
                json.member("stream", name)
                json.name("state")
                state.write(to: &json)
                json.client(call, server: server)
            }
            router.respond(call, APIResponse.snapshot(info))
            let consumers = request.noConsumers ? [] : consumerRecords()
            let source = SnapshotSource(
                stream, consumers: consumers, origins: origins?.snapshotRecord, checks: request.checksMessages)
            keep(SnapshotSender(self, call, request, source))
            touch()
        }
    }
}

extension StreamRuntime {
    /// The state of each consumer. What a turn has gathered goes to the journal first: the record that stands for all includes it.
    private func consumerRecords() -> [[UInt8]] {
        guard let registry else { return [] }
        return registry.names.compactMap { name in
            guard let consumer = registry[name] else { return nil }
            consumer.writeRecord(now)
            consumer.touch()
            return consumer.snapshot()
        }
    }
}
