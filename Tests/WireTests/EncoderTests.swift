// What a server sends, and the routines that copy, compare and hash a few bytes at once.

import Testing

@testable import Wire

@Test(arguments: [0, 1, 9, 10, 99, 100, 12_345, 1_048_576, Int.max]) func encoderWritesDecimals(value: Int) {
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: 64)
    defer { memory.deallocate() }
    var out = Encoder(memory)
    out.put(decimal: value)
    #expect(ByteView(memory, out.cursor - memory).string == String(value))
}

@Test func encoderWritesALine() {
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: 256)
    defer { memory.deallocate() }
    var out = Encoder(memory)
    out.put("MSG ")
    viewing("foo.bar") { out.put($0) }
    out.put(0x20)
    out.put(decimal: 12)
    out.putLineEnd()
    #expect(ByteView(memory, out.cursor - memory).string == "MSG foo.bar 12\r\n")
}

@Test func copiesStayWithinTheirSlack() {
    for count in [0, 1, 31, 32, 33, 63, 64, 65, 200] {
        let source = (0..<(count + 32)).map { UInt8(truncatingIfNeeded: $0 &+ 1) }
        let target = UnsafeMutablePointer<UInt8>.allocate(capacity: count + 128)
        defer { target.deallocate() }
        target.initialize(repeating: 0xEE, count: count + 128)
        source.withUnsafeBufferPointer { copyWithSlack(target, $0.baseAddress.unsafelyUnwrapped, count) }
        #expect((0..<count).allSatisfy { target[$0] == source[$0] }, "\(count)")
        #expect(((count + Encoder.slackBytes)..<(count + 128)).allSatisfy { target[$0] == 0xEE }, "\(count)")
    }
}

@Test func hashesDifferForWhatDiffers() {
    var seen: Set<UInt64> = []
    var texts: Set<String> = []
    for count in 0...20 {
        for letter in ["a", "b"] {
            texts.insert(String(repeating: letter, count: count))
            for place in 0..<count {
                var text = Array(String(repeating: letter, count: count))
                text[place] = "x"
                texts.insert(String(text))
            }
        }
    }
    for text in texts { seen.insert(viewing(text) { hashBytes($0.base, $0.count, seed: 42) }) }
    #expect(seen.count == texts.count)
    #expect(viewing("abc") { hashBytes($0.base, 3, seed: 1) != hashBytes($0.base, 3, seed: 2) })
}
