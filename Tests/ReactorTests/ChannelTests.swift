// Order on one socket that several loops write to, and how channels end.

import Glibc
import Testing

@testable import Reactor

@Suite struct ChannelTests {
    /// Loop 1 is in the middle of a frame when loop 0 has something for the same socket and finds the lock taken.
    @Test func theRestOfATornFrameGoesFirst() throws {
        let loops = try TestLoops(count: 2)
        defer { loops.stop() }
        let channel = loops.openChannel()
        let isLocked = channel.ref.pointee.tryLock()
        #expect(isLocked)
        // As a send by loop 1 that the socket cut short.
        let sent = Glibc.send(channel.ref.pointee.fd, "first-", 6, 0)
        #expect(sent == 6)
        loops.on(0) { loop in loop.write(channel.ref, "third;") }
        #expect(eventually { channel.blocked == 1 })
        loops.on(1) { loop in
            let block = OutputBuffer.allocate(capacity: 2_048)
            memcpy(OutputBuffer.bytes(block), "first-second;", 13)
            block.pointee.start = 6
            block.pointee.end = 13
            loop.handOverRest(channel.ref, block)
        }
        #expect(channel.text(19) == "first-second;third;")
        #expect(eventually { channel.blocked == 0 })
        #expect(channel.pendingBytes == 0)
        #expect(loops.mailboxBytes == 0)
    }

    /// The last words wait for a lock that another loop holds, and come before the end of the stream.
    @Test func lastWordsAreWrittenBeforeTheEnd() throws {
        let loops = try TestLoops(count: 2)
        defer { loops.stop() }
        let channel = loops.openChannel()
        let isLocked = channel.ref.pointee.tryLock()
        #expect(isLocked)
        loops.on(0) { loop in
            loop.write(channel.ref, "-ERR")
            loop.close(channel.ref, .requested, linger: true)
        }
        channel.ref.pointee.unlock()
        #expect(channel.text(100) == "-ERR")
    }

    /// A broken socket is found out while the last words are written: the handler hears of one end, not of two.
    @Test func aChannelClosesOnce() throws {
        let loops = try TestLoops(count: 1)
        defer { loops.stop() }
        let channel = loops.openChannel()
        loops.on(0) { loop in
            // In the same turn, so that the loop does not hear of it before it writes.
            Glibc.close(channel.peer)
            loop.write(channel.ref, "-ERR")
            loop.close(channel.ref, .requested, linger: true)
        }
        #expect(eventually { loops.channelCount == 0 })
        #expect(channel.handler.snapshot.closed.count == 1)
    }

    /// Queued bytes are drained into a socket that has just been reset: nothing reads from its closed descriptor.
    @Test func aResetWhileDrainingEndsTheChannel() throws {
        let loops = try TestLoops(count: 1)
        defer { loops.stop() }
        let channel = loops.openChannel()
        let big = [UInt8](repeating: 0x78, count: 4 << 20)
        loops.on(0) { loop in big.withUnsafeBytes { loop.write(channel.ref, $0) } }
        #expect(eventually { channel.pendingBytes > 0 })
        Glibc.close(channel.peer)
        #expect(eventually { loops.channelCount == 0 })
        #expect(channel.handler.snapshot.closed.count == 1)
    }

    /// A frame whose length is not known is presented whenever more of it has come, however long it is.
    @Test func aLongFrameOfUnknownLengthIsPresentedAgain() throws {
        let loops = try TestLoops(count: 1)
        defer { loops.stop() }
        let channel = loops.openChannel(
            RecordingHandler { bytes, count in
                let end = memchr(bytes, 0x0A, count)
                return ReadOutcome(consumed: end == nil ? 0 : count)
            })
        channel.send([UInt8](repeating: 0x78, count: 200_000))
        #expect(eventually { channel.handler.snapshot.presented.last == 200_000 })
        channel.send([0x0A])
        #expect(eventually { channel.handler.snapshot.consumed == 200_001 })
    }

    /// What a peer that waits for answers has sent is presented in pieces, and all of it.
    @Test func piecesAreReadOneATurn() throws {
        let loops = try TestLoops(count: 1)
        defer { loops.stop() }
        let channel = loops.openChannel()
        // All of it is there before the first read.
        loops.on(0) { loop in
            loop.pauseReading(channel.ref)
            channel.ref.pointee.isReadInPieces = true
        }
        channel.send([UInt8](repeating: 0x78, count: 100_000))
        loops.on(0) { loop in loop.resumeReading(channel.ref) }
        #expect(eventually { channel.handler.snapshot.consumed == 100_000 })
        let pieces = channel.handler.snapshot.presented
        #expect(pieces.allSatisfy { $0 <= EventLoop.pieceBytes }, "\(pieces)")
    }

    /// Bytes count as pending until they are written, whichever way they take, and the counts come back to zero.
    @Test func countsComeBackToZero() throws {
        let loops = try TestLoops(count: 2)
        defer { loops.stop() }
        let channel = loops.openChannel()
        var written = 0
        var read = 0
        for round in 0..<200 {
            for index in 0..<2 {
                let bytes = [UInt8](repeating: UInt8(0x30 + index), count: 1 + (round * 7_919) % 70_000)
                loops.on(index) { loop in bytes.withUnsafeBytes { loop.write(channel.ref, $0) } }
                written += bytes.count
            }
            if round % 3 == 0 { read += channel.read(min(60_000, written - read)).count }
        }
        read += channel.read(written - read).count
        #expect(read == written)
        #expect(eventually { channel.blocked == 0 })
        #expect(channel.pendingBytes == 0)
        #expect(loops.mailboxBytes == 0)
    }

    /// More bytes than allowed cut the channel.
    @Test func tooManyPendingBytesCut() throws {
        var limits = LoopLimits()
        limits.maxPendingBytes = 1 << 20
        let loops = try TestLoops(count: 2, limits: limits)
        defer { loops.stop() }
        let channel = loops.openChannel()
        let bytes = [UInt8](repeating: 0x78, count: 100_000)
        for _ in 0..<40 { loops.on(1) { loop in bytes.withUnsafeBytes { loop.write(channel.ref, $0) } } }
        #expect(eventually { loops.channelCount == 0 })
        #expect(channel.handler.snapshot.closed == [.slowConsumerPendingBytes])
    }

    /// A write that makes no progress ends at its deadline.
    @Test func aStuckWriteEndsAtItsDeadline() throws {
        var limits = LoopLimits()
        limits.writeDeadlineMs = 50
        let loops = try TestLoops(count: 2, limits: limits)
        defer { loops.stop() }
        let channel = loops.openChannel()
        let bytes = [UInt8](repeating: 0x78, count: 1 << 20)
        loops.on(1) { loop in bytes.withUnsafeBytes { loop.write(channel.ref, $0) } }
        #expect(eventually { loops.channelCount == 0 })
        #expect(channel.handler.snapshot.closed == [.slowConsumerWriteDeadline])
    }
}
