// Tells of messages that turn out to be damaged on disk. What is found while nobody listens, as at a start, waits for the first
// who does.

import Reactor
import Wire

/// Owned by the stream's loop. `$JS.EVENT.ADVISORY.STREAM.LOST.<stream>` is ours: `msgs` are the sequences, as in the stream's state
/// under `lost`; `reason` says which file and where.
final class LossReports {
    /// Of the latest ones so many are kept; the log and the stream's state tell of all.
    static let keptMax = 64

    private struct Loss {
        var sequences: [UInt64]
        var reason: String
        var timeNs: Int64
    }

    private unowned let runtime: StreamRuntime
    private let target: DeliveryTarget
    private var kept: [Loss] = []

    init(_ runtime: StreamRuntime) {
        self.runtime = runtime
        let subject = "\(Advisory.prefix)STREAM.LOST.\(runtime.entry.config.name)"
        target = runtime.target(Array(subject.utf8), queue: [])
    }

    func tell(_ sequences: [UInt64], _ reason: String) {
        if kept.isEmpty { runtime.watch(target) { [unowned self] in publish() } }
        kept.append(Loss(sequences: sequences, reason: reason, timeNs: Clock.wallNs()))
        if kept.count > LossReports.keptMax { kept.removeFirst() }
        // Somebody may listen already.
        publish()
    }

    private func publish() {
        guard !kept.isEmpty, runtime.hasInterest(target) else { return }
        runtime.unwatch(target)
        let told = kept, name = runtime.entry.config.name
        kept = []
        for loss in told {
            Advisory.publish(
                String(decoding: target.subject, as: UTF8.self), "stream_lost", in: runtime.account.account,
                router: runtime.router, timeNs: loss.timeNs
            ) { json in
                json.member("stream", name)
                json.optional("msgs", loss.sequences) { $0.value($1) }
                json.member("reason", loss.reason)
            }
        }
    }
}
