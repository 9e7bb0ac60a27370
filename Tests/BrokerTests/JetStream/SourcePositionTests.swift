// How far a stream has come in its origins: the header that tells it, and the record that does when messages are gone.

import Testing
import Wire

@testable import Broker

@Suite struct SourcePositionTests {
    private func read(_ value: String) -> (indexName: String, position: OriginPosition)? {
        Array(value.utf8).withUnsafeBytes { SourceHeader.read(ByteView($0)) }
    }

    private func write(_ source: StreamSourceConfig, _ position: OriginPosition) -> String {
        let target = ScratchBytes()
        Array("o.1".utf8).withUnsafeBytes {
            SourceHeader.write(SourceHeader.ready(source), position, subject: ByteView($0), to: target)
        }
        return target.view.string
    }

    @Test func headersNameTheirSource() throws {
        var source = StreamSourceConfig(name: "O")
        let position = OriginPosition(identity: "abcdefgh", sequence: 17)
        #expect(write(source, position) == "O 17 > > o.1 abcdefgh")
        source.subjectTransforms = [
            SubjectTransformConfig(source: "o.*", destination: "u.$1"), SubjectTransformConfig(source: "p", destination: ""),
        ]
        let value = write(source, position)
        #expect(value == "O 17 o.*\u{0C}p u.$1\u{0C}> o.1 abcdefgh")
        let found = try #require(read(value))
        #expect(found.indexName == source.indexName && found.position == position)
    }

    @Test func headersOfOtherServersAreRead() throws {
        let old = try #require(read("O 4 o.> > o.1"))
        #expect(old.indexName == "O o.> >" && old.position == OriginPosition(identity: "", sequence: 4))
        for bad in ["", "O", "O 4", "O 4 >", "O x > > s", "O 0 > > s", "O -4 > > s", "O 99999999999999999999 > > s"] {
            #expect(read(bad) == nil, "\(bad)")
        }
    }

    @Test func recordsComeBack() throws {
        var record = OriginRecord()
        record.isComplete = true
        record.logSequence = 1 << 40
        record.positions = ["O > >": OriginPosition(identity: "i", sequence: 5), "P a >": OriginPosition()]
        let bytes = record.encoded()
        #expect(OriginRecord(bytes) == record)
        for count in 0..<bytes.count { #expect(OriginRecord(Array(bytes[..<count])) == nil) }
        #expect(OriginRecord(bytes + [0]) == nil)
        // Whatever a damaged byte makes of it is a record or none.
        for place in bytes.indices {
            var damaged = bytes
            damaged[place] ^= 0xFF
            _ = OriginRecord(damaged)
        }
    }
}
