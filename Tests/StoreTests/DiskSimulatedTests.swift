import Glibc
import StoreKit
import Testing

@testable import Store

@Suite struct SimulatedDiskTests {
    private func page(_ byte: UInt8) -> [UInt8] { Array(repeating: byte, count: 4096) }

    @Test func aCrashKeepsWhatIsSyncedAndAnyPagesOfTheRest() throws {
        let disk = SimulatedDisk()
        let file = try disk.open("/a", create: true)
        try file.writeAll(page(1) + page(1) + page(1), at: 0)
        try file.sync()
        try disk.syncDirectory("/")
        try file.writeAll(page(2) + page(2), at: 4096)
        try file.writeAll(page(2), at: 3 * 4096)
        var seen: Set<[UInt8]> = []
        for seed in 0..<200 as Range<UInt64> {
            let left = disk.crashed(seed: seed).files()["/a"] ?? []
            #expect(left.count == 3 * 4096 || left.count == 4 * 4096)
            let pages = stride(from: 0, to: left.count, by: 4096).map { left[$0] }
            for (index, byte) in pages.enumerated() {
                #expect(Array(left[index * 4096..<(index + 1) * 4096]) == page(byte))
            }
            #expect(pages[0] == 1 && pages[1...2].allSatisfy { [1, 2].contains($0) })
            #expect(pages.count == 3 || [0, 2].contains(pages[3]))
            seen.insert(pages)
        }
        // Three pages old or new, and the end with its page or without.
        #expect(seen.count == 4 * 3)
        #expect(disk.crashed(seed: 5).files() == disk.crashed(seed: 5).files())
    }

    @Test func aCrashTakesNamesBackUntilTheirDirectoryIsSynced() throws {
        let disk = SimulatedDisk()
        try disk.makeDirectory("/d")
        try disk.syncDirectory("/")
        try disk.open("/d/a", create: true).sync()
        try disk.syncDirectory("/d")
        _ = try disk.open("/d/b", create: true)
        try disk.rename("/d/a", to: "/d/c")
        try disk.remove("/d/b")
        var seen: Set<[String]> = []
        for seed in 0..<100 as Range<UInt64> {
            let left = disk.crashed(seed: seed)
            seen.insert(try left.list("/d"))
            // What a crash has left, another one leaves as well.
            #expect(try left.crashed(seed: seed).list("/d") == left.list("/d"))
        }
        #expect(seen == [["a"], ["c"], ["a", "b"], ["b", "c"]])
        try disk.syncDirectory("/d")
        #expect(try disk.crashed(seed: 1).list("/d") == ["c"])
    }

    @Test func failsWhereItIsTold() throws {
        let disk = SimulatedDisk()
        let file = try disk.open("/a", create: true)
        disk.inject(.error(EIO), atCall: 2)
        #expect(throws: DiskError("write", "/a", EIO)) { try file.writeAll([1, 2, 3], at: 0) }
        disk.inject(.short(2), atCall: 3)
        try file.writeAll([1, 2, 3], at: 0)
        #expect(disk.calls == 4)
        disk.inject(.torn(1, ENOSPC), atCall: 5)
        #expect(throws: DiskError("write", "/a", ENOSPC)) { try file.writeAll([7, 8], at: 1) }
        #expect(try file.read(10, at: 0) == [1, 7, 3])
        disk.limit(to: 4)
        try file.allocate(4)
        #expect(throws: DiskError("allocate", "/a", ENOSPC)) { try file.allocate(5) }
        #expect(throws: DiskError("write", "/a", ENOSPC)) { try file.writeAll([1], at: 4) }
        disk.failPower(atChange: disk.changes + 2)
        try file.writeAll([9], at: 0)
        #expect(throws: DiskError("write", "/a", EIO)) { try file.writeAll([8], at: 0) }
        #expect(throws: DiskError("read", "/a", EIO)) { try file.read(1, at: 0) }
    }

    @Test func aSyncThatIsIgnoredIsForgotten() throws {
        let disk = SimulatedDisk()
        let file = try disk.open("/a", create: true)
        try disk.syncDirectory("/")
        disk.ignoreSync()
        try file.writeAll(page(1), at: 0)
        try file.sync()
        #expect((0..<20 as Range<UInt64>).contains { disk.crashed(seed: $0).files()["/a"]?.isEmpty == true })
    }

    @Test func truncatedBytesAreZeroWhenTheFileGrowsAgain() throws {
        let disk = SimulatedDisk()
        let file = try disk.open("/a", create: true)
        try file.writeAll(page(1) + page(2), at: 0)
        try file.truncate(10)
        try file.allocate(8192)
        let bytes = try file.read(9000, at: 0)
        #expect(bytes.count == 8192 && bytes[9] == 1 && bytes[10...].allSatisfy { $0 == 0 })
        try file.sync()
        try disk.syncDirectory("/")
        #expect(disk.crashed(seed: 3).files()["/a"] == bytes)
    }
}
