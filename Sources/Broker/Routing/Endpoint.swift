// A receiver inside the broker: a stream that captures subjects, a consumer that waits for acks, the API.

import Reactor
import Wire

/// Names an endpoint across loops and time: a later one in the same slot has another generation.
struct EndpointAddress: Sendable, Equatable {
    /// The loop that owns it; `everyLoop` is an account's request endpoint, which each loop has: the publisher's own
    /// is taken, and `slot` is the account's number.
    var loop: Int32
    var slot: Int32
    var generation: UInt32

    static let everyLoop: Int32 = -1
    static let none = EndpointAddress(loop: 0, slot: -1, generation: 0)
}

/// Who sent a message to an endpoint.
struct Origin {
    /// 0 is the broker itself.
    var clientID: UInt64
    static let broker = Origin(clientID: 0)
}

/// Called on the endpoint's loop, in the order in which the messages of one publisher were sent.
protocol Endpoint: AnyObject {
    /// The views are valid until this returns. The payload begins with the header block and is followed by CRLF.
    func receive(_ message: Message, from origin: Origin)
}

/// The endpoints of one loop. Owned by it.
final class EndpointTable {
    private struct Slot {
        var endpoint: (any Endpoint)?
        var generation: UInt32
    }
    private var slots: [Slot] = []
    private var unused: [Int32] = []
    /// Counts removals: what was found is there as long as this stands.
    private(set) var changes: UInt64 = 0
    private let loop: Int32

    init(loop: Int) { self.loop = Int32(loop) }

    /// Makes an endpoint reachable. The table keeps it until `remove`.
    func add(_ endpoint: any Endpoint) -> EndpointAddress {
        if let slot = unused.popLast() {
            slots[Int(slot)].endpoint = endpoint
            return EndpointAddress(loop: loop, slot: slot, generation: slots[Int(slot)].generation)
        }
        slots.append(Slot(endpoint: endpoint, generation: 1))
        return EndpointAddress(loop: loop, slot: Int32(slots.count - 1), generation: 1)
    }

    /// Messages that are on their way to it are dropped.
    func remove(_ address: EndpointAddress) {
        guard find(address.slot, address.generation) != nil else { return }
        changes += 1
        slots[Int(address.slot)].endpoint = nil
        slots[Int(address.slot)].generation &+= 1
        unused.append(address.slot)
    }

    @inline(__always)
    func find(_ slot: Int32, _ generation: UInt32) -> (any Endpoint)? {
        guard slot >= 0, Int(slot) < slots.count, slots[Int(slot)].generation == generation else { return nil }
        return slots[Int(slot)].endpoint
    }
}
