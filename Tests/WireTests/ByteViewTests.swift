import Testing
import Wire

@Test func viewsCompareByContent() {
    let a = Array("abc".utf8), b = Array("abcd".utf8)
    a.withUnsafeBytes { x in
        b.withUnsafeBytes { y in
            #expect(ByteView(x) == ByteView(UnsafeRawBufferPointer(rebasing: y[..<3])))
            #expect(!(ByteView(x) == ByteView(y)))
            #expect(ByteView(y).hasPrefix("abc"))
        }
    }
}
