import Glibc
import StoreKit
import Testing

@testable import Store

@Suite struct SystemDiskTests {
    let disk = SystemDisk()

    private func inDirectory(_ body: (String) throws -> Void) throws {
        let directory = TemporaryDirectory()
        try body(directory.path)
    }

    @Test func writesReadsAndTruncates() throws {
        try inDirectory { directory in
            let file = try disk.open(directory + "/a", create: true)
            try file.writeAll(Array("hello".utf8), at: 3)
            #expect(try file.size() == 8)
            #expect(try file.read(100, at: 0) == [0, 0, 0] + Array("hello".utf8))
            #expect(try file.read(100, at: 8).isEmpty)
            try file.allocate(10_000)
            #expect(try file.size() == 10_000)
            try file.allocate(10)
            #expect(try file.size() == 10_000)
            #expect(try file.read(2, at: 9_998) == [0, 0])
            try file.truncate(4)
            try file.sync()
            #expect(try file.read(100, at: 0) == [0, 0, 0, 104])
        }
    }

    @Test func readsWhatIsInMemoryWithoutWaiting() throws {
        try inDirectory { directory in
            let file = try disk.open(directory + "/a", create: true)
            try file.writeAll(Array(repeating: 7, count: 10_000), at: 0)
            var target = [UInt8](repeating: 0, count: 20_000)
            let got = try target.withUnsafeMutableBytes { try file.readCached(#require($0.baseAddress), 20_000, at: 100) }
            // What was just written may have been pushed out of memory, but is never wrong.
            if let got {
                #expect(got == 9_900)
                #expect(target[0..<9_900].allSatisfy { $0 == 7 })
            }
        }
    }

    @Test func renamesListsAndRemoves() throws {
        try inDirectory { directory in
            _ = try disk.open(directory + "/a", create: true)
            _ = try disk.open(directory + "/b", create: true)
            try disk.rename(directory + "/a", to: directory + "/b")
            #expect(try disk.list(directory) == ["b"])
            try disk.makeDirectory(directory + "/b2")
            try disk.makeDirectory(directory + "/b2")
            try disk.removeDirectory(directory + "/b2")
            try disk.removeDirectory(directory + "/b2")
            try disk.remove(directory + "/b")
            try disk.remove(directory + "/b")
            try disk.syncDirectory(directory)
            #expect(try disk.list(directory).isEmpty)
            #expect(try disk.availableBytes(directory) > 0)
        }
    }

    @Test func saysWhatIsNotThere() throws {
        #expect(throws: DiskError("open", "/nowhere/a", ENOENT)) { try disk.open("/nowhere/a", create: true) }
        #expect(throws: DiskError("opendir", "/nowhere", ENOENT)) { try disk.list("/nowhere") }
    }
}
