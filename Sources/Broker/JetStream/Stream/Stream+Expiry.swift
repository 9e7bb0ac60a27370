// What time takes from a stream: old messages, messages past their time to live, old message ids.

import Store
import Wire

extension Stream {
    /// The next moment at which something grows too old.
    var expiryDeadlineNs: UInt64? {
        guard config.maxAgeNs > 0 else { return nil }
        let state = log.state
        guard state.messages > 0 else { return nil }
        return monotonicNs(atWallNs: state.firstTimeNs &+ config.maxAgeNs)
    }

    func expire() {
        if let syncDueNs, syncDueNs <= host.now.monotonicNs { commit() }
        expireByAge()
        forgetOldMessageIDs()
    }

    private func expireByAge() {
        guard config.maxAgeNs > 0, failure == nil else { return }
        let oldest = host.now.wallNs &- config.maxAgeNs
        let state = log.state
        guard state.messages > 0, state.firstTimeNs <= oldest else { return }
        removeAll(below: log.first(atOrAfterNs: oldest &+ 1) ?? state.lastSequence &+ 1)
    }

    func forgetOldMessageIDs() {
        guard duplicates.count > 0 else { return }
        duplicates.removeAll(upTo: host.now.wallNs &- config.duplicateWindowNs)
    }
}
