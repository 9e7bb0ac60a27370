// Counter streams (ADR-49): every publish adds to its subject's value, and what is stored is the sum.

import Store
import Wire

extension Stream {
    /// What Nats-Incr asks for, and that nothing beside it contradicts it.
    func checkIncrement(_ publish: Publish) throws(APIError) {
        let known = publish.known
        guard !known.increment.isEmpty else {
            if rules.contains(.counter) { throw .messageIncrementMissing }
            return
        }
        if DecimalInteger(known.increment) == nil { throw .messageIncrementInvalid }
        if publish.origin == .source { return }
        if !config.allowMessageCounter { throw .messageIncrementDisabled }
        if !publish.body.isEmpty { throw .messageIncrementPayload }
        let isContradicted =
            !known.rollup.isEmpty || !known.expectedStream.isEmpty || !known.expectedLastMessageID.isEmpty
            || !known.expectedLastSequence.isEmpty || !known.expectedLastSubjectSequence.isEmpty
            || !known.expectedLastSubjectSequenceSubject.isEmpty
        if isContradicted { throw .messageIncrementInvalid }
    }

    /// Adds, and makes the sum the message's body.
    func count(_ publish: inout Publish) throws(APIError) {
        guard var increment = DecimalInteger(publish.known.increment) else { throw .messageIncrementMissing }
        var counter = try counter(of: publish.subject)
        if publish.origin == .source, !publish.known.streamSource.isEmpty {
            increment = try counter.replaceSource(publish)
            let text = increment.description
            edit(&publish) { $0.set("Nats-Incr", text) }
        }
        counter.total = counter.total + increment
        if let sources = counter.sourcesText { edit(&publish) { $0.set("Nats-Counter-Sources", sources) } }
        publish.body = keep(Array("{\"val\":\"\(counter.total)\"}".utf8))
        publish.counterValue = counter.total
        if publish.headers.count + publish.body.count > settings.payloadBytesMax { throw .streamMessageExceedsMaximum }
        staging?.counters[publish.subject.bytes] = counter
    }

    private func counter(of subject: ByteView) throws(APIError) -> CounterValue {
        if let staged = staging?.counters[subject.bytes] { return staged }
        guard let id = log.subjects.id(of: subject) else { return CounterValue() }
        switch log.load(log.subjects.summary(id).last) {
        case .message(let message): return try CounterValue(message)
        case .absent: return CounterValue()
        case .reading, .failed: throw .messageCounterBroken
        }
    }

    // MARK: Waiting for the value

    /// Whether a publish has to wait until its subject's value has come from the disk. Everything behind it waits too, so that
    /// the order stays.
    func mustHold(_ publish: Publish) -> Bool {
        guard rules.contains(.counter) else { return false }
        if isValueLoading(publish.subject) { return true }
        guard !publish.known.batchCommit.isEmpty else { return false }
        return atomicBatches.subjects(of: publish.known.batchID).contains(where: isValueLoading)
    }

    /// Whether a counter's value is still on its way from the disk.
    func isCounterLoading(_ subject: ByteView) -> Bool { rules.contains(.counter) && isValueLoading(subject) }

    private func isValueLoading(_ subject: ByteView) -> Bool {
        guard let id = log.subjects.id(of: subject) else { return false }
        if case .reading = log.load(log.subjects.summary(id).last) { return true }
        return false
    }

    /// Keeps a copy of a publish until messages have come from the disk.
    func hold(_ publish: Publish) {
        if held.isReplaying { return held.putBack() }
        if held.isEmpty && !isRecovering { afterLoad { [unowned self] in receiveHeld() } }
        held.append(HeldPublish(publish))
    }

    /// Takes in what waits, up to the next one that has to go on waiting.
    func receiveHeld() {
        while let publish = held.next() {
            publish.withViews { receive(subject: $0, reply: $1, headers: $2, body: $3) }
            guard held.endNext() else { return afterLoad { [unowned self] in receiveHeld() } }
        }
    }
}

/// A counter's value, and what its sources have added to it.
struct CounterValue {
    var total = DecimalInteger()
    /// By stream and subject.
    private var sources: [String: [String: DecimalInteger]] = [:]

    init() {}

    init(_ message: StoredMessage) throws(APIError) {
        total = try CounterValue.total(message.payload)
        guard let text = HeaderEditor(message.headers).value(of: "Nats-Counter-Sources") else { return }
        guard let document = try? JSONValue.parse(text), let streams = document.object else { throw .messageCounterBroken }
        for stream in streams.members {
            guard let subjects = stream.value.object else { throw .messageCounterBroken }
            for subject in subjects.members {
                guard let text = subject.value.string, let value = DecimalInteger(text) else { throw .messageCounterBroken }
                sources[stream.name, default: [:]][subject.name] = value
            }
        }
    }

    private static func total(_ body: ByteView) throws(APIError) -> DecimalInteger {
        guard let document = try? JSONValue.parse(body), let text = document["val"]?.string, let value = DecimalInteger(text)
        else { throw .messageCounterBroken }
        return value
    }

    /// Takes over a source's new total, and says what that adds.
    mutating func replaceSource(_ publish: Publish) throws(APIError) -> DecimalInteger {
        let fields = publish.known.streamSource.string.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        let stream = fields[0]
        // The subject under which the origin has it.
        let subject = fields.count >= 5 ? fields[4] : publish.subject.string
        let value = try CounterValue.total(publish.body)
        let before = sources[stream]?[subject] ?? DecimalInteger()
        sources[stream, default: [:]][subject] = value
        return value - before
    }

    /// Nats-Counter-Sources, in a fixed order; nil without any.
    var sourcesText: String? {
        guard !sources.isEmpty else { return nil }
        var json = JSONWriter()
        json.beginObject()
        for (stream, subjects) in sources.sorted(by: { $0.key < $1.key }) {
            json.name(stream)
            json.beginObject()
            for (subject, value) in subjects.sorted(by: { $0.key < $1.key }) { json.member(subject, value.description) }
            json.endObject()
        }
        json.endObject()
        return String(decoding: json.take(), as: UTF8.self)
    }
}
