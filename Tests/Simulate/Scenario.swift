// Which stream a seed simulates.

import Store
import StoreKit

@testable import Broker

/// What is drawn from the seed before the first step.
enum Scenario {
    static let subjects = ["a.1", "a.2", "a.3", "b.1", "b.2", "c.1", "c.2", "d.1"]
    static let patterns = [">", "a.*", "b.*", "*.1", "c.>", "a.1", "b.2", "*.2"]

    /// The subjects that a pattern matches, a bit each.
    static func bits(of pattern: String) -> UInt16 {
        if pattern == ">" { return 0xFF }
        var bits: UInt16 = 0
        for (place, subject) in subjects.enumerated() where matches(pattern, subject) { bits |= 1 << UInt16(place) }
        return bits
    }

    static func stream(_ random: inout SeededRandom) -> StreamConfig {
        var config = StreamConfig()
        config.name = "S"
        config.subjects = ["a.*", "b.*", "c.*", "d.*"]
        config.storage = random.once(in: 4) ? .memory : .file
        config.retention = [.limits, .limits, .interest, .workqueue][random.below(4)]
        if random.once(in: 8) { config.firstSequence = [1, 2, 100, 5_000_000_000][random.below(4)] }
        limits(&config, &random)
        if random.once(in: 5) {
            config.allowMessageCounter = true
            (config.discard, config.discardNewPerSubject, config.retention) = (.old, false, .limits)
        } else {
            if random.once(in: 3) { config.allowMessageTTL = true }
            if random.once(in: 5) {
                config.subjectDeleteMarkerTTLNs = Int64([1, 30, 600][random.below(3)]) * 1_000_000_000
            }
            if random.once(in: 4) && config.discard == .old { config.allowMessageSchedules = true }
        }
        if random.once(in: 2) { config.allowAtomicPublish = true }
        if random.once(in: 3) { config.allowBatchPublish = true }
        if random.once(in: 8) && config.storage == .file && !config.allowAtomicPublish && config.subjectDeleteMarkerTTLNs == 0 {
            config.persistMode = .async
        }
        if random.once(in: 2) { config.allowRollup = true }
        if random.once(in: 2) { config.allowDirect = true }
        if random.once(in: 8) { config.denyDelete = true }
        if random.once(in: 8) && !config.allowRollup && config.subjectDeleteMarkerTTLNs == 0 { config.denyPurge = true }
        if random.once(in: 5) {
            config.subjectTransform = SubjectTransformConfig(source: "d.*", destination: "c.{{wildcard(1)}}")
        }
        if random.once(in: 5) {
            config.republish = RepublishConfig(
                source: [">", "a.*"][random.below(2)], destination: "again.>", headersOnly: random.once(in: 2))
            // What a pattern does not capture whole cannot be kept whole.
            if config.republish?.source == "a.*" { config.republish?.destination = "again.a.{{wildcard(1)}}" }
        }
        return config
    }

    /// How often it syncs. What is acknowledged in between may be lost with the power; not with delete markers, of which nobody
    /// could say which are due for what comes back.
    static func settings(_ config: StreamConfig, _ random: inout SeededRandom) -> StreamSettings {
        var settings = StreamSettings()
        guard config.storage == .file, config.subjectDeleteMarkerTTLNs == 0, random.once(in: 3) else { return settings }
        settings.syncPolicy =
            random.once(in: 3) ? .never : .interval(ns: [10_000_000, 1_000_000_000, 60_000_000_000][random.below(3)])
        return settings
    }

    /// A stream that follows, on the same disk. What it holds is compared with all that was ever there.
    static func copy(
        _ config: StreamConfig, _ settings: StreamSettings, _ random: inout SeededRandom
    ) -> StreamConfig? {
        let isDurable = settings.syncPolicy == .always && config.persistMode == .default
        guard random.once(in: 4), isDurable, config.retention == .limits, config.storage == .file else { return nil }
        var copy = StreamConfig()
        copy.storage = random.once(in: 4) ? .memory : .file
        copy.subjects = []
        var origin = StreamSourceConfig(name: config.name)
        if random.once(in: 2) || config.allowMessageCounter {
            copy.name = "MIRROR"
            copy.mirror = origin
            return copy
        }
        copy.name = "SOURCED"
        if random.once(in: 2) {
            origin.subjectTransforms = [SubjectTransformConfig(source: "a.*", destination: "copied.{{wildcard(1)}}")]
        }
        copy.sources = [origin]
        return copy
    }

    static func limits(_ config: inout StreamConfig, _ random: inout SeededRandom) {
        func value<Number>(_ once: Int, _ values: [Number], _ none: Number) -> Number {
            random.once(in: once) ? values[random.below(values.count)] : none
        }
        config.maxMessages = value(3, [1, 5, 20, 60], -1)
        config.maxBytes = value(4, [200, 1_000, 5_000], -1)
        config.maxMessagesPerSubject = value(3, [1, 2, 5, 10], -1)
        config.maxMessageBytes = value(6, [30, 100, 300], -1)
        config.maxAgeNs = value(4, [30, 600, 3_600, 20_000], 0) * 1_000_000_000
        // An update leaves the window as it is: which ids are forgotten by then is nobody's promise.
        if config.duplicateWindowNs == 0 { config.duplicateWindowNs = [1, 20, 120, 600][random.below(4)] * 1_000_000_000 }
        if config.maxAgeNs > 0 { config.maxAgeNs = max(config.duplicateWindowNs, config.maxAgeNs) }
        config.discard = random.once(in: 3) && !config.allowMessageSchedules && !config.allowMessageCounter ? .new : .old
        config.discardNewPerSubject =
            config.discard == .new && config.maxMessagesPerSubject > 0 && random.once(in: 2)
    }

    /// Segments so small that they are rotated and rewritten all the time.
    static func log(_ random: inout SeededRandom) -> Store.LogOptions {
        var options = Store.LogOptions()
        options.firstSegmentBytes = [8 << 10, 16 << 10, 64 << 10][random.below(3)]
        options.segmentBytesMax = [16 << 10, 64 << 10][random.below(2)]
        options.compactBytesMin = 4 << 10
        options.segmentIDSeed = random.next()
        return options
    }
}
