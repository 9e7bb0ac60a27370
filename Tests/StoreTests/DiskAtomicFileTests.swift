import Glibc
import StoreKit
import Testing

@testable import Store

@Suite struct AtomicFileTests {
    private let disk = SystemDisk()

    private func inDirectory(_ body: (String) throws -> Void) throws {
        let directory = TemporaryDirectory()
        try body(directory.path)
    }

    private func file(_ directory: String, version: UInt32 = 3) -> AtomicFile {
        AtomicFile(path: directory + "/meta", kind: "BHst", version: version, disk: disk)
    }

    @Test func keepsWhatIsWrittenLast() throws {
        try inDirectory { directory in
            #expect(try file(directory).read() == nil)
            try file(directory).write(Array("first".utf8))
            try file(directory, version: 2).write(Array("second, longer".utf8))
            #expect(
                try file(directory).read()
                    == AtomicFile.Contents(bytes: Array("second, longer".utf8), version: 2, isDamaged: false))
            try file(directory).write([])
            #expect(try file(directory).read()?.bytes == [])
            #expect(try disk.list(directory) == ["meta"])
        }
    }

    @Test func aFlippedByteCostsNothingAndIsNoticed() throws {
        try inDirectory { directory in
            let contents = Array("the definition".utf8)
            try file(directory).write(contents)
            let raw = try disk.open(directory + "/meta", create: false)
            let good = try raw.read(raw.size(), at: 0)
            for index in good.indices {
                for bit in [UInt8(1), 0x80, 0xFF] {
                    var bad = good
                    bad[index] ^= bit
                    try raw.writeAll(bad, at: 0)
                    #expect(try file(directory).read() == AtomicFile.Contents(bytes: contents, version: 3, isDamaged: true))
                }
            }
        }
    }

    @Test func truncatedItIsDamagedOrRefused() throws {
        try inDirectory { directory in
            let contents = Array("the definition".utf8)
            try file(directory).write(contents)
            let raw = try disk.open(directory + "/meta", create: false)
            for length in stride(from: try raw.size() - 1, through: 0, by: -1) {
                try raw.truncate(length)
                if length >= 16 + contents.count {
                    #expect(try file(directory).read() == AtomicFile.Contents(bytes: contents, version: 3, isDamaged: true))
                } else {
                    #expect(throws: StoreError.self) { try file(directory).read() }
                }
            }
        }
    }

    @Test func refusesANewerVersionAndAnotherKind() throws {
        try inDirectory { directory in
            try file(directory, version: 4).write([1])
            #expect(
                throws: StoreError.unusable(
                    "\(directory)/meta: written by a newer version (format 4, this one knows 3)")
            ) { try file(directory).read() }
            let other = AtomicFile(path: directory + "/meta", kind: "BHxx", version: 9, disk: disk)
            #expect(throws: StoreError.self) { try other.read() }
        }
    }

    @Test func removesLeftovers() throws {
        try inDirectory { directory in
            try file(directory).write([1])
            _ = try disk.open(directory + "/other.tmp", create: true)
            try AtomicFile.removeLeftovers(in: directory, disk: disk)
            #expect(try disk.list(directory) == ["meta"])
        }
    }
}
