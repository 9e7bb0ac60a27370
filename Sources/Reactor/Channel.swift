// One connected stream socket: its descriptor, what was read but not yet understood, and what waits to be written.

import Glibc
import Synchronization

public typealias ChannelRef = UnsafeMutablePointer<Channel>

/// Who gets what a channel reads. Called on the channel's home loop only.
public protocol ChannelHandler: AnyObject {
    /// Bytes have arrived. They are readable (not meaningful) for `Channel.slackBytes` behind their end and valid until
    /// this returns. What is not consumed is presented again with more behind it.
    func received(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> ReadOutcome
    /// The channel is closing: no call to `received` follows. Other loops may still hold references to the handler's
    /// shared state until their turn ends.
    func closed(_ reason: CloseReason)
    /// What had to wait for the socket has all been sent.
    func queueDrained()
}

extension ChannelHandler {
    public func queueDrained() {}
}

/// How much of the bytes a handler used.
public struct ReadOutcome {
    public let consumed: Int
    /// The full length of the unfinished frame at the end, where known; else 0. Bounds what is kept for it.
    public let frameBytes: Int

    @inlinable
    public init(consumed: Int, frameBytes: Int = 0) {
        self.consumed = consumed
        self.frameBytes = frameBytes
    }
}

/// Why a channel closed, as far as the reactor knows.
public enum CloseReason: Sendable, Equatable {
    case peerClosed
    case readError(Int32)
    case writeError(Int32)
    /// More bytes waited for the peer than the limit allows.
    case slowConsumerPendingBytes
    /// A write was not finished in time.
    case slowConsumerWriteDeadline
    /// The handler asked for it.
    case requested
    case loopStopped
}

/// Names a channel across loops and time: a later channel in the same slot has another serial.
public struct ChannelID: Sendable, Hashable {
    public let loop: Int32
    public let slot: Int32
    public let serial: UInt64
}

/// A channel lives in raw memory on one home loop. Only the fields marked "any loop" may be touched by others.
///
/// Order on the socket: a loop writes directly only while it holds `writeLock` and `blocked` is 0; otherwise it hands its
/// bytes to the home loop, which writes them in the order they were handed over.
public struct Channel: ~Copyable {
    /// Handlers may read this far behind the bytes they get.
    public static let slackBytes = 64

    enum State {
        static let open: UInt32 = 0
        /// No more reads or deliveries; what is queued goes out first.
        static let flushing: UInt32 = 1
        /// The write side is shut down; waits for the peer to close, so that the last bytes are not lost to a reset.
        static let lingering: UInt32 = 2
        static let closed: UInt32 = 3
    }

    // Home loop only. It comes first because the thread sanitizer takes a change of any field in place for one of the first.
    var handler: (any ChannelHandler)?

    // Any loop, never changed.
    public let fd: Int32
    public let slot: Int32
    public let home: Int32
    public let serial: UInt64

    // Any loop.
    let state = Atomic<UInt32>(State.open)
    /// Held for the length of one nonblocking send; taken with a try only.
    let writeLock = Atomic<Bool>(false)
    /// Blocks in the home loop's mailbox for this channel, plus one while its queue holds bytes.
    let blocked = Atomic<Int>(0)
    /// Bytes handed over or queued and not yet written.
    public let pendingBytes = Atomic<Int>(0)
    /// Loops that have stalled a producer because of this channel, one bit each.
    let stalledLoops = Atomic<UInt64>(0)
    /// References from stall lists; the memory stays while there are any.
    let pins = Atomic<Int>(0)
    /// Messages and payload bytes that were staged for this channel.
    public let messagesOut = Atomic<UInt64>(0)
    public let payloadBytesOut = Atomic<UInt64>(0)
    /// Bytes written to the socket; tells a slow reader from a stuck one.
    let bytesWritten = Atomic<UInt64>(0)

    /// A direct write ended inside a frame whose rest is in the home loop's mailbox. Set under `writeLock`; cleared by the
    /// home loop while the rest counts in `blocked`.
    var isTorn = false

    // Home loop only.
    var interest: UInt32 = 0
    var readPauses: UInt8 = 0
    /// The peer waits for answers before it sends more. Read whole, what it has sent would keep it idle until the turn's end, and
    /// then us until it has sent the next; in pieces both work at the same time.
    public var isReadInPieces = false
    /// Stuck: it made no progress during a whole stall. Producers are not stalled for it until it moves again.
    public let stuck = Atomic<Bool>(false)
    var linger = false
    var carry: UnsafeMutablePointer<UInt8>?
    var carryCount = 0
    var carryCapacity = 0
    /// A frame that is received in place is presented again from this many bytes on.
    var carryWanted = 0
    var queueHead: OutputBufferRef?
    var queueTail: OutputBufferRef?
    var writeTimer: TimerID?
    /// bytesWritten when everything that waited at the start of the write deadline has been written.
    var writeMark: UInt64 = 0
    /// `bytesWritten` at the last read, and how many reads have come since it changed: a peer that keeps sending without
    /// being sent anything is not waiting for an answer.
    var writtenAtRead: UInt64 = 0
    var unansweredReads: UInt8 = 0
    /// The last pass over the mailbox that had to leave a block for this channel where it was.
    var deferredPass: UInt64 = 0

    init(fd: Int32, slot: Int32, home: Int32, serial: UInt64, handler: any ChannelHandler) {
        self.fd = fd
        self.slot = slot
        self.home = home
        self.serial = serial
        self.handler = handler
    }

    public var id: ChannelID { ChannelID(loop: home, slot: slot, serial: serial) }

    @inline(__always)
    public var isOpen: Bool { state.load(ordering: .acquiring) == State.open }

    @inline(__always)
    func tryLock() -> Bool {
        writeLock.compareExchange(expected: false, desired: true, ordering: .acquiring).exchanged
    }

    @inline(__always)
    func unlock() { writeLock.store(false, ordering: .releasing) }
}
