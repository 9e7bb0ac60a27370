// Takes over a new configuration that has been checked.

import Store
import Wire

extension Stream {
    /// Limits hold at once; consumers look at the new configuration when they need it.
    func update(_ new: StreamConfig) {
        let old = config
        config = new
        var rules = StreamRules(new)
        rules.formUnion(self.rules.intersection([.holding, .failed]))
        self.rules = rules
        setTransforms()
        if new.retention == .interest && old.retention == .limits { isSweepDue = true }
        enforceLimits()
        // What is now too old goes before a consumer can deliver it.
        lastExpiryNs = 0
        expire()
        if !new.allowAtomicPublish { atomicBatches = AtomicBatches() }
        if !new.allowBatchPublish { fastBatches = [:] }
    }

    /// Makes what the configuration describes ready for use. It has been checked when the configuration was.
    func setTransforms() {
        subjectTransform = config.subjectTransform.flatMap {
            (try? SubjectTransform.parse(source: $0.source, destination: $0.destination)).flatMap { $0 }
        }
        republishTransform = config.republish.flatMap {
            (try? SubjectTransform.parse(source: $0.source, destination: $0.destination)).flatMap { $0 }
        }
    }

    /// A stream that has never held a message begins where its configuration says.
    func setFirstSequence() {
        do { try log.skip(to: config.firstSequence - 1) } catch { _ = storeError(error) }
    }
}
