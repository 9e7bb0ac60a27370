// The numbers of keys, and what is remembered of the subjects that lead to them.

import StoreKit
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
        push(&names, KeyNames.restMax)
        isSame.append(names.isSame(known))
        let second = withText("booking-2") { names.use($0) }
        isSame.append(names.isSame(known))
        isSame.append(names.isSame(names.issue(of: second)))
        #expect(isSame == [true, true, false, false, true])
        let text = names.text(second).string, old = withText("booking-1") { names.find($0) }
        #expect(second == first && text == "booking-2" && old == nil)
    }

    /// Has so many other keys be used once.
    private func push(_ names: inout KeyNames, _ count: Int) {
        for number in 0..<count { names.release(withText("other-\(number)") { names.use($0) }) }
    }

    @Test func aKeyThatIsNotUsedRestsForAWhile() {
        var names = KeyNames()
        let first = withText("booking-1") { names.use($0) }
        let known = names.issue(of: first)
        names.record(first).pointee.tail = 17
        names.release(first)
        let unused = withText("booking-1") { names.find($0) }, byHash = names.find(hash: names.record(first).pointee.hash)
        #expect(unused == nil && byHash == nil)
        // Used again, it begins anew with the number it had, and its earlier turn no longer counts.
        push(&names, KeyNames.restMax / 2)
        let again = withText("booking-1") { names.use($0) }, tail = names.record(again).pointee.tail
        #expect(again == first && tail == 0)
        names.release(again)
        push(&names, KeyNames.restMax - 1)
        let restsStill = names.isSame(known)
        names.retain(first)
        names.release(first)
        push(&names, KeyNames.restMax - 1)
        let restsAgain = names.isSame(known)
        push(&names, 1)
        let isGone = !names.isSame(known), count = names.count
        #expect(restsStill && restsAgain && isGone && count == KeyNames.restMax - 1)
    }

    /// What is kept for nobody stays small.
    @Test func longKeysDoNotRest() {
        var names = KeyNames()
        let text = String(repeating: "k", count: KeyNames.restBytesMax + 1)
        let first = withText(text) { names.use($0) }
        let known = names.issue(of: first)
        names.release(first)
        let isSame = names.isSame(known), count = names.count
        #expect(!isSame && count == 0)
    }

    /// Keys come, are used, rest and are forgotten in any order: a number stands for one text as long as it is used.
    @Test func numbersStandForTheirTexts() {
        var names = KeyNames(), random = SeededRandom(seed: 5)
        var used: [(id: KeyID, text: String)] = []
        var isRight = true
        for _ in 0..<20_000 {
            if used.count > 1_000 || !used.isEmpty && random.once(in: 2) {
                let place = random.below(used.count), (id, text) = used[place]
                used.swapAt(place, used.count - 1)
                used.removeLast()
                if names.text(id).string != text || withText(text, { names.find($0) }) != id { isRight = false }
                names.release(id)
            } else {
                let text = "booking-\(random.below(8_000))"
                used.append((withText(text) { names.use($0) }, text))
            }
        }
        #expect(isRight)
        for (id, text) in used where names.text(id).string != text { isRight = false }
        let count = names.count
        #expect(isRight && count <= Set(used.map(\.text)).count + KeyNames.restMax)
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
