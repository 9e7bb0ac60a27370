import Glibc
import StoreKit
import Testing

@testable import Store

extension FileConsumerJournal {
    func append(_ id: ConsumerID, _ text: String, replaces: Bool = false) {
        Array(text.utf8).withUnsafeBytes { append(id, $0, replaces: replaces) }
    }

    @discardableResult
    func commit(syncs: Bool = true) -> StoreError? {
        guard let job = beginCommit(syncs: syncs) else { return nil }
        return finishCommit(job.run())
    }
}

extension SimulatedDisk {
    /// With a directory `/s` that no crash takes.
    static func withDirectory() throws -> SimulatedDisk {
        let disk = SimulatedDisk()
        try disk.makeDirectory("/s")
        try disk.syncDirectory("/")
        return disk
    }
}

extension RecoveredConsumer {
    var texts: [String] { records.map { String(decoding: $0, as: UTF8.self) } }
}

@Suite struct JournalTests {
    private func open(_ disk: any Disk, _ directory: String = "/s") throws -> (FileConsumerJournal, [RecoveredConsumer]) {
        try FileConsumerJournal.open(directory: directory, disk: disk)
    }

    @Test func keepsWhatIsCommitted() throws {
        let disk = try SimulatedDisk.withDirectory()
        let (journal, none) = try open(disk)
        #expect(none.isEmpty && journal.findings.isEmpty)
        let a = journal.makeID(), b = journal.makeID(), c = journal.makeID()
        journal.append(a, "a0", replaces: true)
        journal.append(b, "b0", replaces: true)
        journal.append(a, "a1")
        #expect(journal.commitTicket == 1 && journal.finishedCommit == 0)
        let job = try #require(journal.beginCommit(syncs: true))
        journal.append(c, "c0", replaces: true)
        #expect(journal.commitTicket == 2)
        #expect(journal.beginCommit(syncs: true) == nil)
        #expect(journal.finishCommit(job.run()) == nil)
        #expect(journal.finishedCommit == 1)
        journal.append(a, "a2", replaces: true)
        journal.append(a, "")
        journal.drop(b)
        journal.commit()
        #expect(journal.finishedCommit == 2 && journal.commitTicket == 2 && journal.beginCommit(syncs: true) == nil)
        journal.append(a, "never committed")
        for seed in 0..<20 as Range<UInt64> {
            let (again, found) = try open(disk.crashed(seed: seed))
            #expect(again.findings.isEmpty)
            #expect(found.map(\.id) == [a, c])
            #expect(found.map(\.texts) == [["a2", ""], ["c0"]])
            #expect(again.makeID() == 4)
        }
    }

    @Test func idsAreNotReusedAfterDropAndRewrite() throws {
        let disk = try SimulatedDisk.withDirectory()
        let (journal, _) = try open(disk)
        journal.snapshot = { _ in nil }
        for _ in 0..<400 {
            let id = journal.makeID()
            journal.append(id, String(repeating: "x", count: 300), replaces: true)
            journal.drop(id)
            journal.commit()
        }
        try journal.close()
        let (again, found) = try open(disk)
        #expect(found.isEmpty && again.makeID() == 401)
    }

    @Test func rewritesHistory() throws {
        let disk = try SimulatedDisk.withDirectory()
        let (journal, _) = try open(disk)
        var states: [ConsumerID: Int] = [:]
        journal.snapshot = { id in states[id].map { Array("state \($0)".utf8) } }
        let ids = (0..<5).map { _ in journal.makeID() }
        for id in ids { journal.append(id, "state 0", replaces: true) }
        for round in 1...4000 {
            let id = ids[round % 5]
            states[id] = round
            journal.append(id, "+\(round)")
            journal.commit()
        }
        let sizes = disk.files().values.map(\.count)
        #expect(sizes.allSatisfy { $0 < 200_000 }, "\(sizes)")
        let (_, found) = try open(disk.crashed(seed: 1))
        #expect(found.map(\.id) == ids)
        for consumer in found {
            let last = try #require(states[consumer.id])
            #expect(consumer.lostRecords == 0)
            #expect(consumer.texts.last == (consumer.texts.count == 1 ? "state \(last)" : "+\(last)"))
            // The snapshot and what came since: nothing missing, nothing twice.
            let first = try #require(Int(consumer.texts[0].dropFirst(6)))
            #expect(
                consumer.texts.dropFirst().compactMap { Int($0.dropFirst()) }
                    == Array(stride(from: first + 5, through: last, by: 5)))
        }
    }

    @Test func consumersThatCannotSayTheirStateKeepTheirRecords() throws {
        let disk = try SimulatedDisk.withDirectory()
        let (journal, _) = try open(disk)
        let silent = journal.makeID(), busy = journal.makeID()
        journal.snapshot = { $0 == busy ? Array("busy".utf8) : nil }
        journal.append(silent, "s0", replaces: true)
        journal.append(silent, "s1")
        journal.append(busy, "b0", replaces: true)
        for round in 0..<3000 {
            journal.append(busy, String(repeating: "b", count: 60))
            if round % 1000 == 10 { journal.append(silent, "s\(2 + round / 1000)") }
            journal.commit(syncs: false)
        }
        journal.commit()
        let (again, found) = try open(disk)
        #expect(again.findings.isEmpty)
        #expect(found.first { $0.id == silent }?.texts == ["s0", "s1", "s2", "s3", "s4"])
        #expect(found.allSatisfy { $0.lostRecords == 0 })
    }

    @Test func appendsGoOnWhileARewriteIsUnderWay() throws {
        let disk = try SimulatedDisk.withDirectory()
        let (journal, _) = try open(disk)
        let id = journal.makeID()
        var count = 0
        journal.snapshot = { _ in Array("= \(count)".utf8) }
        journal.append(id, "= 0", replaces: true)
        for _ in 0..<3000 {
            count += 1
            journal.append(id, "+")
            guard let job = journal.beginCommit(syncs: true) else { continue }
            count += 1
            journal.append(id, "+")
            #expect(journal.finishCommit(job.run()) == nil)
        }
        journal.commit()
        let (_, found) = try open(disk.crashed(seed: 4))
        let texts = try #require(found.first).texts
        #expect(Int(texts[0].dropFirst(2)).map { $0 + texts.count - 1 } == count)
    }

    @Test func acksGoOnWhenTheDiskIsFull() throws {
        let disk = try SimulatedDisk.withDirectory()
        let (journal, _) = try open(disk)
        let id = journal.makeID()
        var count = 0
        journal.snapshot = { _ in Array("= \(count)".utf8) }
        journal.append(id, "= 0", replaces: true)
        journal.commit()
        disk.limit(to: disk.usedBytes)
        for _ in 0..<10_000 {
            count += 1
            journal.append(id, "+")
            #expect(journal.commit() == nil)
            #expect(journal.finishedCommit == journal.commitTicket || count % 100 != 0)
        }
        journal.append(id, "+")
        count += 1
        journal.commit()
        #expect(journal.finishedCommit == journal.commitTicket)
        let (_, found) = try open(disk.crashed(seed: 4))
        let texts = try #require(found.first).texts
        #expect(Int(texts[0].dropFirst(2)).map { $0 + texts.count - 1 } == count)
    }

    @Test func whatFitsNowhereWaitsForRoom() throws {
        let disk = try SimulatedDisk.withDirectory()
        let (journal, _) = try open(disk)
        let id = journal.makeID()
        journal.append(id, "base", replaces: true)
        journal.commit()
        disk.limit(to: disk.usedBytes)
        let large = String(repeating: "l", count: 200_000)
        journal.append(id, large)
        let ticket = journal.commitTicket
        for _ in 0..<5 {
            #expect(journal.commit() == nil)
            // Without anything new there is no use in trying again.
            #expect(journal.beginCommit(syncs: true) == nil)
            journal.append(id, "small")
        }
        #expect(journal.finishedCommit < ticket)
        disk.limit(to: nil)
        journal.commit()
        #expect(journal.finishedCommit >= ticket)
        let (_, found) = try open(disk.crashed(seed: 4))
        #expect(found.first?.texts == ["base", large] + Array(repeating: "small", count: 5))
    }

    @Test func aFailedSyncOrWriteEndsIt() throws {
        for offset in 1...2 {
            let disk = try SimulatedDisk.withDirectory()
            let (journal, _) = try open(disk)
            journal.append(journal.makeID(), "base", replaces: true)
            disk.inject(.error(EIO), atCall: disk.calls + offset)
            let error = try #require(journal.commit())
            guard case .failed = error else {
                Issue.record("\(error)")
                continue
            }
            journal.append(1, "more")
            #expect(journal.beginCommit(syncs: true) == nil && journal.finishedCommit == 0)
            #expect(throws: error) { try journal.close() }
        }
    }

    @Test func aCommitWithoutSyncIsSyncedByTheNext() throws {
        let disk = try SimulatedDisk.withDirectory()
        let (journal, _) = try open(disk)
        // The files come with the first commit, which syncs whatever it is asked for.
        #expect(try disk.list("/s").isEmpty)
        journal.append(journal.makeID(), "base", replaces: true)
        journal.commit(syncs: false)
        for seed in 0..<20 as Range<UInt64> { #expect(try open(disk.crashed(seed: seed)).1.count == 1) }
        journal.append(journal.makeID(), "base", replaces: true)
        journal.commit(syncs: false)
        #expect(journal.finishedCommit == 2)
        #expect(try (0..<20 as Range<UInt64>).contains { try open(disk.crashed(seed: $0)).1.count == 1 })
        journal.commit(syncs: true)
        for seed in 0..<20 as Range<UInt64> { #expect(try open(disk.crashed(seed: seed)).1.count == 2) }
    }

    @Test func worksOnTheRealDisk() throws {
        let directory = TemporaryDirectory()
        let (journal, _) = try open(SystemDisk(), directory.path)
        let id = journal.makeID()
        journal.append(id, "base", replaces: true)
        for _ in 0..<100 {
            journal.append(id, "+")
            journal.commit()
        }
        try journal.close()
        try journal.close()
        let (again, found) = try open(SystemDisk(), directory.path)
        #expect(found.first?.texts.count == 101)
        try again.close()
        #expect(try open(SystemDisk(), directory.path).1.first?.texts.count == 101)
    }

    /// Records above 256 MB were written when the journal was rewritten, and then taken for damage.
    @Test func whateverLengthIsWrittenCanBeRead() {
        let bytes = UnsafeMutableRawPointer.allocate(byteCount: JournalRecordHead.bytes, alignment: 16)
        defer { bytes.deallocate() }
        let key = JournalKey(fileID: 7)
        for length in [0, 256 << 20, 256 << 20 + 1, 1 << 30, JournalRecordHead.bodyBytesMax] {
            JournalRecordHead(length: UInt32(length), number: 1, consumer: 1, kind: .replace, isTwin: false).write(bytes)
            bytes.store32(key.sum(bytes, from: 4, to: JournalRecordHead.bytes, at: 72), 0)
            let size = JournalRecordHead.size(bodyBytes: length)
            #expect(JournalRecordHead.read(bytes, at: 72, limit: 72 + size, key)?.length == UInt32(length))
            #expect(JournalRecordHead.read(bytes, at: 72, limit: 72 + size - 8, key) == nil)
        }
    }

    /// What cannot be written leaves nothing that looks settled.
    @Test func aJournalThatHasFailedSettlesNothing() throws {
        let disk = SimulatedDisk()
        try disk.makeDirectory("/j")
        let (journal, _) = try FileConsumerJournal.open(directory: "/j", disk: disk)
        let id = journal.makeID()
        var byte: UInt8 = 1
        withUnsafeBytes(of: &byte) { one in
            journal.append(id, UnsafeRawBufferPointer(start: one.baseAddress, count: 5 << 30), replaces: true)
            #expect(journal.failure != nil && journal.commitTicket > journal.finishedCommit)
            journal.append(id, one, replaces: true)
        }
        journal.drop(id)
        #expect(journal.beginCommit(syncs: true) == nil && journal.commitTicket > journal.finishedCommit)
    }
}
