import Glibc
import StoreKit
import Testing

@testable import Store

@Suite struct JournalCorruptionTests {
    /// A journal with three consumers, after a rewrite or not, and what it holds.
    private func make(rewritten: Bool, closed: Bool) throws -> (SimulatedDisk, [[String]]) {
        let disk = try SimulatedDisk.withDirectory()
        let (journal, _) = try FileConsumerJournal.open(directory: "/s", disk: disk)
        if rewritten {
            let busy = journal.makeID()
            journal.append(busy, "busy", replaces: true)
            journal.commit()
            journal.drop(busy)
            journal.mustRewrite = true
            journal.commit()
        }
        journal.snapshot = { _ in nil }
        let ids = (0..<3).map { _ in journal.makeID() }
        for id in ids { journal.append(id, "base \(id)", replaces: true) }
        journal.commit()
        for round in 1...4 {
            for id in ids.dropLast() { journal.append(id, "\(round)") }
            if round == 2 { journal.append(ids[2], "base again", replaces: true) }
            journal.commit()
        }
        if closed { try journal.close() }
        return (disk, try FileConsumerJournal.open(directory: "/s", disk: disk.copy()).1.map(\.texts))
    }

    /// Opens a damaged journal, which never crashes, and uses it.
    private func openDamaged(_ disk: SimulatedDisk) throws -> (FileConsumerJournal, [RecoveredConsumer]) {
        let (journal, found) = try FileConsumerJournal.open(directory: "/s", disk: disk)
        journal.snapshot = { id in found.first { $0.id == id }.map { Array("state of \($0.id)".utf8) } }
        if let first = found.first { journal.append(first.id, "more") }
        #expect(journal.commit() == nil)
        // Whatever it was, it is healed by the first commit.
        let (again, kept) = try FileConsumerJournal.open(directory: "/s", disk: disk.copy())
        if !found.isEmpty { #expect(again.findings.isEmpty, "after \(journal.findings)") }
        if !found.isEmpty { #expect(kept.map(\.id) == found.map(\.id) && kept.allSatisfy { $0.lostRecords == 0 }) }
        return (journal, found)
    }

    @Test(arguments: [false, true]) func aFlipAfterAnOrderlyStopCostsAtMostOneRecord(rewritten: Bool) throws {
        let (disk, whole) = try make(rewritten: rewritten, closed: true)
        var costly = 0, noticed = 0
        for (path, bytes) in disk.files() {
            for index in bytes.indices where bytes[index] != 0 || index % 5003 == 0 {
                for bits in index % 2 == 0 ? [UInt8(1)] : [0xFF] {
                    let copy = disk.copy()
                    var flipped = bytes
                    flipped[index] ^= bits
                    copy.replace(path, flipped)
                    let (journal, found) = try openDamaged(copy)
                    let texts = found.map(\.texts)
                    if !journal.findings.isEmpty { noticed += 1 }
                    guard texts != whole else { continue }
                    costly += 1
                    #expect(!journal.findings.isEmpty, "\(path) \(index) unnoticed")
                    #expect(texts.count == whole.count, "\(path) \(index) cost a consumer")
                    let missing = zip(texts, whole).reduce(0) { $0 + $1.1.count - $1.0.count }
                    #expect(missing == 1, "\(path) \(index): \(texts)")
                }
            }
        }
        #expect(costly > 0 && noticed > costly)
    }

    @Test(arguments: [false, true]) func aFlipAfterACrashCostsAtMostOneRecordOrTheLastBlock(rewritten: Bool) throws {
        let (disk, whole) = try make(rewritten: rewritten, closed: false)
        for (path, bytes) in disk.files() {
            for index in bytes.indices where bytes[index] != 0 || index % 5003 == 0 {
                let copy = disk.copy()
                var flipped = bytes
                flipped[index] ^= 0x10
                copy.replace(path, flipped)
                let (journal, found) = try FileConsumerJournal.open(directory: "/s", disk: copy)
                let texts = found.map(\.texts)
                let withoutLast = [whole[0].dropLast(), whole[1].dropLast(), whole[2][...]].map(Array.init)
                if texts == whole || texts == withoutLast { continue }
                #expect(!journal.findings.isEmpty, "\(path) \(index) unnoticed")
                let missing = zip(texts, whole).reduce(0) { $0 + $1.1.count - $1.0.count }
                #expect(texts.count == whole.count && missing == 1, "\(path) \(index): \(texts)")
            }
        }
    }

    @Test(arguments: [false, true]) func cutShortItIsNoticed(rewritten: Bool) throws {
        let (disk, whole) = try make(rewritten: rewritten, closed: true)
        for (path, bytes) in disk.files() {
            let used = (bytes.lastIndex { $0 != 0 } ?? 0) + 1
            for length in Array(0...used) + [used + 100, bytes.count - 1] where length < bytes.count {
                let copy = disk.copy()
                copy.replace(path, Array(bytes[0..<length]))
                let (journal, found) = try openDamaged(copy)
                if found.map(\.texts) != whole { #expect(!journal.findings.isEmpty, "\(path) \(length) unnoticed") }
                for consumer in found {
                    let all = whole.first { $0[0] == consumer.texts[0] || consumer.texts[0].hasPrefix("base") } ?? []
                    #expect(consumer.texts.count <= max(all.count, 5))
                }
            }
            guard rewritten else { continue }
            let copy = disk.copy()
            try copy.remove(path)
            let (journal, found) = try FileConsumerJournal.open(directory: "/s", disk: copy)
            if found.map(\.texts) != whole { #expect(!journal.findings.isEmpty, "\(path) removed unnoticed") }
        }
    }

    @Test func aNewerVersionIsRefused() throws {
        let (disk, _) = try make(rewritten: false, closed: true)
        var bytes = try #require(disk.files()["/s/consumers-a.journal"])
        bytes.withUnsafeMutableBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            let version = UInt32(JournalBlockHead.version)
            base.store32(base.load32(4) & 0xFFFF_0000 | (version + 1), 4)
            let key = JournalKey(fileID: base.load64(16))
            base.store32(key.sum(base, from: 12, to: 72, at: 0, seed: Checksum.crc32c(base, 8)), 8)
        }
        disk.replace("/s/consumers-a.journal", bytes)
        let reason = "/s/consumers-a.journal: written by a newer version (format 2, this one knows 1)"
        #expect(throws: StoreError.unusable(reason)) { try FileConsumerJournal.open(directory: "/s", disk: disk) }
    }

    @Test func everyCallMayFail() throws {
        // How many calls there are.
        func run(_ disk: SimulatedDisk) -> (acked: Int, error: StoreError?) {
            var acked = 0
            do throws(StoreError) {
                let (journal, found) = try FileConsumerJournal.open(directory: "/s", disk: disk)
                var count = 0
                journal.snapshot = { _ in Array("= \(count)".utf8) }
                let id = found.first?.id ?? journal.makeID()
                journal.append(id, "= 0", replaces: true)
                for round in 0..<30 {
                    count += 1
                    journal.append(id, round % 2 == 0 ? "+" + String(repeating: " ", count: 7000) : "+")
                    if let error = journal.commit() { return (acked, error) }
                    if journal.finishedCommit == journal.commitTicket { acked = count }
                }
                try journal.close()
            } catch { return (acked, error) }
            return (acked, nil)
        }
        let clean = try SimulatedDisk.withDirectory()
        #expect(run(clean).error == nil)
        let calls = clean.calls
        #expect(calls > 70)
        for (name, fault) in [
            ("EIO", DiskFault.error(EIO)), ("ENOSPC", .error(ENOSPC)), ("short", .short(40)), ("torn", .torn(100, EIO)),
        ] {
            for call in 4...calls {
                let disk = try SimulatedDisk.withDirectory()
                disk.inject(fault, atCall: call)
                let (acked, error) = run(disk)
                if case .short = fault { #expect(error == nil) }
                disk.clearFaults()
                let left = disk.crashed(seed: UInt64(call))
                let (journal, found) = try FileConsumerJournal.open(directory: "/s", disk: left)
                #expect(journal.findings.isEmpty, "\(name) at \(call): \(journal.findings)")
                guard let texts = found.first?.texts else {
                    #expect(acked == 0, "\(name) at \(call)")
                    continue
                }
                let count = (Int(texts[0].dropFirst(2)) ?? -1) + texts.count - 1
                #expect(count >= acked && count <= 30, "\(name) at \(call): \(count), acked \(acked)")
            }
        }
    }
}
