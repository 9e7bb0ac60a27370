// Publishes that wait until what they are checked against has come from the disk, and all behind them.

import Wire

struct HeldPublishes {
    private var publishes: [HeldPublish] = []
    /// The first that waits; those before have been taken.
    private var first = 0
    private(set) var bytes = 0
    /// The first one is being taken in.
    private(set) var isReplaying = false
    private var isPutBack = false

    var isEmpty: Bool { first == publishes.count }

    mutating func append(_ publish: HeldPublish) {
        publishes.append(publish)
        bytes += publish.bytes
    }

    /// The first, to be taken in; it stays where it is until `endNext`.
    mutating func next() -> HeldPublish? {
        guard !isReplaying, !isEmpty else { return nil }
        isReplaying = true
        isPutBack = false
        return publishes[first]
    }

    /// The one that is being taken in has to wait again.
    mutating func putBack() { isPutBack = true }

    /// - Returns: whether it has been taken in; otherwise it is still the first.
    mutating func endNext() -> Bool {
        isReplaying = false
        if isPutBack { return false }
        bytes -= publishes[first].bytes
        first += 1
        // Seldom enough that moving the rest up costs next to nothing for each.
        if first * 2 > publishes.count {
            publishes.removeFirst(first)
            first = 0
        }
        return true
    }
}

/// A publish that waits, copied.
struct HeldPublish {
    private let subject: [UInt8]
    private let reply: [UInt8]
    private let headers: [UInt8]
    private let body: [UInt8]
    /// What it takes in memory, with what an array takes beside its elements.
    var bytes: Int { subject.count + reply.count + headers.count + body.count + 4 * 32 }

    init(_ publish: Publish) {
        subject = publish.subject.bytes
        reply = publish.reply.bytes
        headers = publish.headers.bytes
        body = publish.body.bytes
    }

    func withViews(_ action: (ByteView, ByteView, ByteView, ByteView) -> Void) {
        subject.withUnsafeBytes { subject in
            reply.withUnsafeBytes { reply in
                headers.withUnsafeBytes { headers in
                    body.withUnsafeBytes { action(ByteView(subject), ByteView(reply), ByteView(headers), ByteView($0)) }
                }
            }
        }
    }
}
