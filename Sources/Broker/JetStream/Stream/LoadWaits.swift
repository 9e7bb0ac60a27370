// What waits for messages to come from the disk.

import Store
import Wire

/// A read brings what one of them wants, seldom what many do: few ask at a time, and the others wait in line for their turn.
struct LoadWaits {
    /// Those who have asked, and ask again whenever something has come.
    private static let askingMax = 32
    /// Taken out of the line in one turn: what they want may be there already.
    fileprivate static let turnMax = 256

    private var asking: [() -> Void] = []
    private var line: [() -> Void] = []
    /// Those before it have had their turn.
    private var head = 0

    /// Whether somebody new may ask at once.
    var hasRoom: Bool { asking.count < LoadWaits.askingMax && line.isEmpty }

    /// Some are in line, and there is room for them.
    var hasReady: Bool { !line.isEmpty && asking.count < LoadWaits.askingMax }

    fileprivate mutating func add(_ action: @escaping () -> Void, waitsInLine: Bool) {
        if !waitsInLine || hasRoom { asking.append(action) } else { line.append(action) }
    }

    fileprivate mutating func takeAsking() -> [() -> Void] {
        defer { asking = [] }
        return asking
    }

    fileprivate mutating func takeNext() -> (() -> Void)? {
        guard hasReady else { return nil }
        defer {
            head += 1
            if head == line.count {
                line = []
                head = 0
            } else if head > 1_024 && head > line.count / 2 {
                line.removeFirst(head)
                head = 0
            }
        }
        return line[head]
    }
}

extension Stream {
    /// Runs `action` when messages have come from the disk; it looks itself whether the one it wants is among them.
    ///
    /// - Parameter waitsInLine: it is one of many, and may have to wait until those before it have what they want.
    func afterLoad(waitsInLine: Bool = false, _ action: @escaping () -> Void) {
        loadWaits.add(action, waitsInLine: waitsInLine)
    }

    func messagesLoaded() {
        for action in loadWaits.takeAsking() { action() }
        askNextLoads()
        for consumer in consumerList where consumer.isReading { consumer.messagesVisible() }
    }

    /// Those who have waited in line ask, while there is room.
    func askNextLoads() {
        for _ in 0..<LoadWaits.turnMax {
            guard let action = loadWaits.takeNext() else { return }
            action()
        }
    }
}
