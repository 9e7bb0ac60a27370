// Messages on their way to endpoints: gathered per loop during a turn, handed over in one piece at its end.

import Glibc
import Reactor
import Synchronization
import Wire

/// A run of messages in one block of memory.
///
///     | total u32 | slot i32 | generation u32 | headers i32 | subject u32 | reply u32 | payload u32 | 0 | client u64 |
///     | subject | reply | payload | CR LF | padding to 8 |
///
/// `total` counts everything; `headers` is the length of the header block at the start of the payload, or -1.
struct EndpointBatch: ~Copyable {
    static let headBytes = 40
    private static let firstCapacity = 4 << 10

    private(set) var memory: UnsafeMutableRawPointer?
    private(set) var count = 0
    private var capacity = 0

    init() {}

    /// Takes over what `release` gave.
    init(memory: UnsafeMutableRawPointer, count: Int) {
        self.memory = memory
        self.count = count
        capacity = count
    }

    deinit { if let memory { free(memory) } }

    /// The payload in two pieces: a header block, or nothing, and a body.
    mutating func append(
        to address: EndpointAddress, from origin: Origin, subject: ByteView, reply: ByteView, headerBytes: Int,
        _ first: ByteView, _ second: ByteView
    ) {
        let payloadCount = first.count + second.count
        // The parts are bounded by the protocol's limits, each below 2^31.
        let need = (EndpointBatch.headBytes + subject.count + reply.count + payloadCount + 2 + 7) & ~7
        if count + need + Encoder.slackBytes > capacity { grow(need) }
        guard let memory else { return }
        let head = memory + count
        head.storeBytes(of: UInt32(need), as: UInt32.self)
        head.storeBytes(of: address.slot, toByteOffset: 4, as: Int32.self)
        head.storeBytes(of: address.generation, toByteOffset: 8, as: UInt32.self)
        head.storeBytes(of: Int32(headerBytes), toByteOffset: 12, as: Int32.self)
        head.storeBytes(of: UInt32(subject.count), toByteOffset: 16, as: UInt32.self)
        head.storeBytes(of: UInt32(reply.count), toByteOffset: 20, as: UInt32.self)
        head.storeBytes(of: UInt32(payloadCount), toByteOffset: 24, as: UInt32.self)
        head.storeBytes(of: 0, toByteOffset: 28, as: UInt32.self)
        head.storeBytes(of: origin.clientID, toByteOffset: 32, as: UInt64.self)
        var out = Encoder((head + EndpointBatch.headBytes).assumingMemoryBound(to: UInt8.self))
        out.put(subject)
        out.put(reply)
        out.put(first)
        out.put(second)
        out.putLineEnd()
        count += need
    }

    private mutating func grow(_ need: Int) {
        let larger = max(EndpointBatch.firstCapacity, 2 * capacity, count + need + Encoder.slackBytes)
        guard let moved = realloc(memory, larger) else { fatalError("out of memory") }
        memory = moved
        capacity = larger
    }

    var isEmpty: Bool { count == 0 }

    /// Gives the memory away; the batch is empty again.
    mutating func release() -> (memory: UnsafeMutableRawPointer, count: Int)? {
        guard let taken = memory else { return nil }
        let used = count
        memory = nil
        count = 0
        capacity = 0
        return (taken, used)
    }

    mutating func removeAll() { count = 0 }

    /// Calls `body` for each message, in order.
    func forEach(_ body: (_ slot: Int32, _ generation: UInt32, _ message: Message, _ origin: Origin) -> Void) {
        guard let memory else { return }
        var offset = 0
        while offset < count {
            let head = memory + offset
            let total = Int(head.load(as: UInt32.self))
            let headerBytes = Int(head.load(fromByteOffset: 12, as: Int32.self))
            let subjectCount = Int(head.load(fromByteOffset: 16, as: UInt32.self))
            let replyCount = Int(head.load(fromByteOffset: 20, as: UInt32.self))
            let payloadCount = Int(head.load(fromByteOffset: 24, as: UInt32.self))
            let bytes = UnsafePointer((head + EndpointBatch.headBytes).assumingMemoryBound(to: UInt8.self))
            let message = Message(
                subject: ByteView(bytes, subjectCount), reply: ByteView(bytes + subjectCount, replyCount),
                headerBytes: headerBytes, payload: ByteView(bytes + subjectCount + replyCount, payloadCount), sizes: .empty)
            body(
                head.load(fromByteOffset: 4, as: Int32.self), head.load(fromByteOffset: 8, as: UInt32.self), message,
                Origin(clientID: head.load(fromByteOffset: 32, as: UInt64.self)))
            offset += total
        }
    }
}

/// One loop's outgoing and incoming messages for endpoints. Owned by it.
final class EndpointMail {
    let table: EndpointTable
    private let loop: EventLoop
    private var outgoing: [UnsafeMutablePointer<EndpointBatch>] = []
    private let local: UnsafeMutablePointer<EndpointBatch>
    /// Per loop: bytes that were handed to it and that it has not dealt with, messages its streams have not yet written
    /// included. Shared.
    private let backlog: EndpointBacklog
    /// Gets what was sent to an account's request endpoint on this loop.
    var accountRequest: ((_ account: Int, Message, Origin) -> Void)?
    /// A message went to a loop that has too much to do: whoever sent it should wait.
    private(set) var touchedOverload = false

    init(loop: EventLoop, backlog: EndpointBacklog) {
        self.loop = loop
        self.backlog = backlog
        table = EndpointTable(loop: loop.index)
        for _ in 0..<loop.group.count {
            let batch = UnsafeMutablePointer<EndpointBatch>.allocate(capacity: 1)
            batch.initialize(to: EndpointBatch())
            outgoing.append(batch)
        }
        local = outgoing[loop.index]
    }

    deinit {
        for batch in outgoing {
            batch.deinitialize(count: 1)
            batch.deallocate()
        }
    }

    @inline(__always)
    func stage(
        to address: EndpointAddress, from origin: Origin, subject: ByteView, reply: ByteView, headerBytes: Int,
        _ first: ByteView, _ second: ByteView
    ) {
        var address = address
        let target: Int
        if address.loop == EndpointAddress.everyLoop {
            target = loop.index
            address.slot = -2 - address.slot
        } else {
            target = Int(address.loop)
        }
        outgoing[target].pointee.append(
            to: address, from: origin, subject: subject, reply: reply, headerBytes: headerBytes, first, second)
        if backlog.isOverloaded(target) { touchedOverload = true }
    }

    /// Whether a message since the last question went to an overloaded loop.
    func takeOverload() -> Bool {
        defer { touchedOverload = false }
        return touchedOverload
    }

    var hasLocalMail: Bool { !local.pointee.isEmpty }

    /// Deals with what this loop has for itself. More may have come when this returns.
    func deliverLocal() {
        guard let taken = local.pointee.release() else { return }
        let batch = EndpointBatch(memory: taken.memory, count: taken.count)
        deliver(batch)
    }

    private func deliver(_ batch: borrowing EndpointBatch) {
        // Most messages go where the one before went.
        var last: (slot: Int32, generation: UInt32, changes: UInt64, endpoint: (any Endpoint)?) = (-1, 0, 0, nil)
        batch.forEach { slot, generation, message, origin in
            if slot < -1 {
                accountRequest?(Int(-2 - slot), message, origin)
                return
            }
            if slot != last.slot || generation != last.generation || table.changes != last.changes {
                last = (slot, generation, table.changes, table.find(slot, generation))
            }
            last.endpoint?.receive(message, from: origin)
        }
    }

    /// Hands over what is for other loops.
    func post() {
        for target in 0..<outgoing.count where target != loop.index {
            guard let taken = outgoing[target].pointee.release() else { continue }
            let bits = UInt(bitPattern: taken.memory), count = taken.count
            guard count > 0 else {
                free(taken.memory)
                continue
            }
            backlog.add(target, count)
            loop.group.mailboxes[target].post { loop in
                guard let memory = UnsafeMutableRawPointer(bitPattern: bits) else { return }
                let batch = EndpointBatch(memory: memory, count: count)
                guard let router = loop.context as? Router else { return }
                router.endpoints.deliver(batch)
                router.endpoints.backlog.add(loop.index, -count)
            }
        }
    }
}

/// How much each loop has yet to do for its endpoints. Shared by all.
final class EndpointBacklog: Sendable {
    /// Beyond it the connections that send to a loop are not read until half of it is done. Bounds the memory of a flood of
    /// publishes that nobody waits for to a few turns of what a disk takes.
    static let bytesMax = 64 << 20

    private final class Cell: Sendable {
        let bytes = Atomic<Int>(0)
    }
    private let cells: [Cell]

    init(loops: Int) { cells = (0..<loops).map { _ in Cell() } }

    func add(_ loop: Int, _ bytes: Int) { cells[loop].bytes.wrappingAdd(bytes, ordering: .relaxed) }

    @inline(__always)
    func isOverloaded(_ loop: Int) -> Bool {
        cells[loop].bytes.load(ordering: .relaxed) > EndpointBacklog.bytesMax
    }

    /// Every loop has got through enough for stopped connections to go on.
    var isRelieved: Bool {
        cells.allSatisfy { $0.bytes.load(ordering: .relaxed) <= EndpointBacklog.bytesMax / 2 }
    }
}
