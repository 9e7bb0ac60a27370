// The numbers of keys, and what is remembered of the subjects that lead to them.

import Testing

@testable import Broker
@testable import Wire

struct KeyedNamesTests {
    private func withText<Result>(_ text: String, _ body: (ByteView) -> Result) -> Result {
        Array(text.utf8).withUnsafeBytes { body(ByteView($0)) }
    }

    @Test func aNumberThatIsGivenToAnotherKeyIsNotTheSame() {
        var names = KeyNames()
        let first = withText("booking-1") { names.use($0) }
        let known = names.issue(of: first)
        var isSame = [names.isSame(known)]
        names.retain(first)
        names.release(first)
        isSame.append(names.isSame(known))
        names.release(first)
        isSame.append(names.isSame(known))
        let second = withText("booking-2") { names.use($0) }
        isSame.append(names.isSame(known))
        isSame.append(names.isSame(names.issue(of: second)))
        #expect(isSame == [true, true, false, false, true])
        let text = names.text(second).string, old = withText("booking-1") { names.find($0) }
        #expect(second == first && text == "booking-2" && old == nil)
    }

    @Test func keysOfAnyLengthAreKept() {
        var names = KeyNames()
        let texts = [0, 1, 3, 4, 5, 63, 64, 65, 4_096, 70_000].map { String(repeating: "k", count: $0) }
        let numbers = texts.map { text in withText(text) { names.use($0) } }
        let kept = numbers.map { names.text($0).string }
        #expect(Set(numbers).count == texts.count && kept == texts)
    }

    @Test func subjectsAreForgottenWhenTheirNumbersComeBackIntoUse() {
        var keys = KeysOfSubjects()
        let none = keys.find(1, 0)
        // More than there is room for at first, and than there ever is.
        for subject in 1...UInt32(70_000) { keys.set(subject, IssuedKey(id: subject, issue: 7)) }
        let last = keys.find(70_000, 0), pushedOut = keys.find(70_000 - 16_384, 0), other = keys.find(60_000, 0)
        #expect(none == nil && last?.id == 70_000 && last?.issue == 7 && pushedOut == nil && other?.id == 60_000)
        let memory = keys.memory
        #expect(memory <= 1 << 18)
        let forgotten = [keys.find(60_000, 1)?.id, keys.find(60_000, 0)?.id]
        #expect(forgotten == [nil, nil])
    }
}
