import Glibc
import Locks
import Testing

@testable import Reactor

/// A handler made of closures.
private final class Handler: ChannelHandler {
    let onBytes: ([UInt8]) -> ReadOutcome
    let onClose: (CloseReason) -> Void
    var onDrained: () -> Void = {}

    init(onBytes: @escaping ([UInt8]) -> ReadOutcome, onClose: @escaping (CloseReason) -> Void = { _ in }) {
        self.onBytes = onBytes
        self.onClose = onClose
    }

    func received(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> ReadOutcome {
        onBytes(Array(UnsafeBufferPointer(start: bytes, count: count)))
    }
    func closed(_ reason: CloseReason) { onClose(reason) }
    func queueDrained() { onDrained() }
}

/// A connected pair: one end for the test, the descriptor of the other for a loop.
private func pair() throws -> (TestSocket, Int32) {
    var ends: [Int32] = [0, 0]
    guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0 else { throw SystemError("socketpair") }
    let flags = fcntl(ends[1], F_GETFL)
    _ = fcntl(ends[1], F_SETFL, flags | O_NONBLOCK)
    return (TestSocket(ends[0]), ends[1])
}

@Test func tasksRunInTheOrderOfPosting() throws {
    let loops = try RunningLoops { _ in nil }
    let order = Locked<[Int]>([])
    for number in 0..<1_000 { loops.group.mailboxes[0].post { _ in order.withLock { $0.append(number) } } }
    #expect(loops.on { _ in true } == true)
    #expect(order.withLock { $0 } == Array(0..<1_000))
    loops.stop()
}

@Test func timersOfALoopFireAndCanBeCancelled() throws {
    let loops = try RunningLoops { _ in nil }
    let fired = Locked<[Int]>([])
    let done = Answer<Bool>()
    let startNs = Clock.monotonicNs()
    _ = loops.on { loop in
        loop.schedule(afterMs: 30) {
            fired.withLock { $0.append(30) }
            done.set(true)
        }
        loop.schedule(afterMs: 10) { fired.withLock { $0.append(10) } }
        loop.cancel(loop.schedule(afterMs: 20) { fired.withLock { $0.append(20) } })
    }
    #expect(done.wait() == true)
    #expect(fired.withLock { $0 } == [10, 30])
    #expect(Clock.monotonicNs() - startNs >= .ms(30))
    loops.stop()
}

@Test func unfinishedFramesArePresentedAgain() throws {
    // Frames of four bytes; each is echoed.
    let loops = try RunningLoops { _ in nil }
    let (socket, fd) = try pair()
    let closed = Answer<CloseReason>()
    _ = loops.on { loop in
        loop.adopt(FileDescriptor(owning: fd)) { channel in
            Handler(
                onBytes: { [unowned loop] bytes in
                    let whole = bytes.count / 4 * 4
                    bytes.prefix(whole).withUnsafeBytes { loop.write(channel, $0) }
                    return ReadOutcome(consumed: whole)
                }, onClose: { closed.set($0) })
        }
    }
    let text = Array("abcdefghijklmnop".utf8)
    for byte in text {
        socket.send([byte])
        usleep(500)
    }
    #expect(socket.receive(count: 16) == text)
    shutdown(socket.fd, Int32(SHUT_WR))
    #expect(closed.wait() == .peerClosed)
    loops.stop()
}

@Test func aLargeFrameArrivesWhole() throws {
    let loops = try RunningLoops { _ in nil }
    let (socket, fd) = try pair()
    let size = 3_000_000
    let got = Answer<Int>()
    _ = loops.on { loop in
        loop.adopt(FileDescriptor(owning: fd)) { _ in
            Handler(onBytes: { bytes in
                guard bytes.count >= size else { return ReadOutcome(consumed: 0, frameBytes: size) }
                got.set(bytes.enumerated().count { $0.element == UInt8(truncatingIfNeeded: $0.offset &* 7) })
                return ReadOutcome(consumed: bytes.count)
            })
        }
    }
    socket.send((0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7) })
    #expect(got.wait() == size)
    loops.stop()
}

@Test func whatIsWrittenBeforeALingeringCloseArrives() throws {
    let loops = try RunningLoops { _ in nil }
    let (socket, fd) = try pair()
    let drained = Answer<Bool>()
    let size = 2_000_000
    _ = loops.on { loop in
        var made: ChannelRef?
        loop.adopt(FileDescriptor(owning: fd)) { channel in
            made = channel
            let handler = Handler(onBytes: { ReadOutcome(consumed: $0.count) })
            handler.onDrained = { [unowned loop] in
                drained.set(true)
                loop.write(channel, "end")
                loop.close(channel, .requested, linger: true)
            }
            return handler
        }
        guard let made else { return }
        [UInt8](repeating: 0x61, count: size).withUnsafeBytes { loop.write(made, $0) }
    }
    // More than a socket takes at once waits in the queue, and the handler hears of it when it is gone.
    let all = socket.receiveAll()
    #expect(drained.wait() == true)
    #expect(all.count == size + 3 && all.suffix(3) == Array("end".utf8)[...])
    loops.stop()
}

@Test func pausedChannelsAreNotRead() throws {
    let loops = try RunningLoops { _ in nil }
    let (socket, fd) = try pair()
    let seen = Locked<[UInt8]>([])
    let id = loops.on { loop -> ChannelID? in
        var id: ChannelID?
        loop.adopt(FileDescriptor(owning: fd)) { channel in
            id = channel.pointee.id
            return Handler(onBytes: { bytes in
                seen.withLock { $0 += bytes }
                return ReadOutcome(consumed: bytes.count)
            })
        }
        if let id, let channel = loop.channel(id) { loop.pauseReading(channel) }
        return id
    }
    guard let id, let id else {
        Issue.record("not adopted")
        return
    }
    socket.send("hello")
    usleep(50_000)
    #expect(seen.withLock { $0 }.isEmpty)
    _ = loops.on { loop in if let channel = loop.channel(id) { loop.resumeReading(channel) } }
    for _ in 0..<1_000 where seen.withLock({ $0.count }) < 5 { usleep(1_000) }
    #expect(seen.withLock { $0 } == Array("hello".utf8))
    loops.stop()
}

@Test func loopsWriteToEachOthersChannelsInOrder() throws {
    let loops = try RunningLoops(2) { _ in nil }
    let (socket, fd) = try pair()
    let adopted = loops.on(0) { loop -> UInt? in
        var address: UInt?
        loop.adopt(FileDescriptor(owning: fd)) { channel in
            address = UInt(bitPattern: channel)
            return Handler(onBytes: { ReadOutcome(consumed: $0.count) })
        }
        return address
    }
    guard let adopted, let adopted else {
        Issue.record("not adopted")
        return
    }
    // Small pieces go straight to the socket, large ones by way of the home loop.
    for number in 0..<2_000 {
        loops.group.mailboxes[1].post { loop in
            guard let channel = ChannelRef(bitPattern: adopted) else { return }
            let count = number % 100 == 0 ? 50_000 : 50
            [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: count).withUnsafeBytes { loop.write(channel, $0) }
        }
    }
    let all = socket.receive(count: 20 * 50_000 + 1_980 * 50)
    var runs: [UInt8] = []
    for byte in all where runs.last != byte { runs.append(byte) }
    #expect(runs == (0..<2_000).map { UInt8(truncatingIfNeeded: $0) })
    loops.stop()
}
