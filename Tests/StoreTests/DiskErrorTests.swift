import Testing

@testable import Store

@Suite struct DiskErrorTests {
    @Test func saysWhatFailedAndWhy() {
        #expect(DiskError("open", "/a", 2).description == "open /a: No such file or directory")
    }
}
