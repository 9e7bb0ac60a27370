// Back-pressure: a producer whose messages wait too long elsewhere is not read for a while.

import Glibc
import Synchronization

/// A producer that is not read until its target has drained or the time is up.
struct Stall {
    let reader: ChannelID
    let target: ChannelRef
    let deadlineNs: UInt64
    let writtenBefore: UInt64
}

extension EventLoop {
    func isCongested(_ target: ChannelRef) -> Bool {
        target.pointee.pendingBytes.load(ordering: .relaxed) > limits.stallBytes
            || group.mailboxes[Int(target.pointee.home)].bytes.load(ordering: .relaxed) > EventLoop.mailboxBytesMax
    }

    /// Stops reading `reader` for a while if something that was staged since the last call went to a channel that has
    /// much unsent already.
    @inline(__always)
    public func stallIfCongested(_ reader: ChannelRef) {
        guard let target = congested else { return }
        congested = nil
        stall(reader, for: target)
    }

    /// Stops reading `reader` until `target` has drained to half or `stallMs` have passed.
    private func stall(_ reader: ChannelRef, for target: ChannelRef) {
        guard limits.stallsProducers, reader.pointee.home == Int32(index), reader.pointee.readPauses == 0, reader != target
        else { return }
        if target.pointee.stuck.load(ordering: .relaxed)
            && target.pointee.pendingBytes.load(ordering: .relaxed) < limits.maxPendingBytes / 4 * 3
        {
            return
        }
        target.pointee.pins.wrappingAdd(1, ordering: .relaxed)
        target.pointee.stalledLoops.bitwiseOr(1 << UInt64(index & 63), ordering: .sequentiallyConsistent)
        stalls.append(
            Stall(
                reader: reader.pointee.id, target: target, deadlineNs: turnStartNs &+ .ms(limits.stallMs),
                writtenBefore: target.pointee.bytesWritten.load(ordering: .relaxed)))
        stallsTotal &+= 1
        pauseReading(reader)
    }

    /// Ends the stalls whose target has drained, is gone, or had its time.
    func reviewStalls() {
        guard !stalls.isEmpty else { return }
        let now = Clock.monotonicNs()
        var ended: [Stall] = []
        stalls.removeAll { stall in
            let target = stall.target
            let isOver =
                now >= stall.deadlineNs || !target.pointee.isOpen
                || target.pointee.pendingBytes.load(ordering: .relaxed) <= limits.stallBytes / 2
            if isOver { ended.append(stall) }
            return isOver
        }
        for stall in ended {
            let target = stall.target
            if now >= stall.deadlineNs
                && target.pointee.bytesWritten.load(ordering: .relaxed) == stall.writtenBefore
            {
                target.pointee.stuck.store(true, ordering: .relaxed)
            }
            target.pointee.pins.wrappingSubtract(1, ordering: .releasing)
            if let reader = channel(stall.reader) { resumeReading(reader) }
        }
    }

    /// A target has got rid of bytes: lets those who wait for it look again.
    func drained(_ channel: ChannelRef) {
        if channel.pointee.stuck.load(ordering: .relaxed) { channel.pointee.stuck.store(false, ordering: .relaxed) }
        guard channel.pointee.stalledLoops.load(ordering: .relaxed) != 0,
            channel.pointee.pendingBytes.load(ordering: .relaxed) <= limits.stallBytes / 2
        else { return }
        wakeStalledLoops(channel)
    }

    func wakeStalledLoops(_ channel: ChannelRef) {
        var mask = channel.pointee.stalledLoops.exchange(0, ordering: .sequentiallyConsistent)
        while mask != 0 {
            let bit = mask.trailingZeroBitCount
            mask &= mask - 1
            var target = bit
            while target < group.count {
                if target != index { group.mailboxes[target].nudge() }
                target += 64
            }
        }
    }
}
