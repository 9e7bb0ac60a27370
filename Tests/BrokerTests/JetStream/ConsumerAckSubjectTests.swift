// Ack subjects, written and read.

import Testing
import Wire

@testable import Broker

@Suite struct ConsumerAckSubjectTests {
    private func read(_ text: String) -> AckReference? { Array(text.utf8).withUnsafeBytes { AckReference(ByteView($0)) } }

    @Test func readsWhatItWrites() {
        let writer = AckSubjectWriter(stream: "ORDERS", consumer: "c-1")
        let edges: [UInt64] = [0, 1, 9, 10, 11, 99, 100, 101, 999, 1_000, 12_345, 99_999_999, 1_795_264_733_572_388_765]
        for number in edges {
            let subject = writer.write(
                deliveries: 1, sequence: number, delivery: number + 1, timeNs: Int64(number), pending: number)
            #expect(subject.string == "$JS.ACK.ORDERS.c-1.1.\(number).\(number + 1).\(number).\(number)")
            let reference = writer.read(subject)
            #expect(reference?.sequence == number && reference?.delivery == number + 1 && reference?.pending == number)
        }
        let subject = writer.write(deliveries: .max, sequence: .max, delivery: .max, timeNs: .min, pending: .max)
        #expect(
            subject.string == "$JS.ACK.ORDERS.c-1.18446744073709551615.18446744073709551615.18446744073709551615.0."
                + "18446744073709551615")
    }

    @Test func readsBothLayouts() {
        let short = read("$JS.ACK.S.C.2.3.4.5.6")
        #expect(
            short?.deliveries == 2 && short?.sequence == 3 && short?.delivery == 4 && short?.timeNs == 5 && short?.pending == 6)
        #expect(read("$JS.ACK._.hash.S.C.2.3.4.5.6") == short)
        #expect(read("$JS.ACK._.hash.S.C.2.3.4.5.6.rest.of.it") == short)
    }

    @Test(arguments: [
        "", "$JS.ACK", "$JS.ACK.S.C.1.2.3.4", "$JS.ACK.S.C.1.2.3.4.5.6", "$JS.ACK.S.C.1.2.3.4.", "$JS.ACK.S.C.1.2.3.4.x",
        "$JS.ACK.S.C.1.-2.3.4.5", "$JS.ACK.S.C.1.99999999999999999999.3.4.5", "$XX.ACK.S.C.1.2.3.4.5", "$JS.ACK.S.C..2.3.4.5",
    ]) func refuses(text: String) {
        #expect(read(text) == nil)
        let writer = AckSubjectWriter(stream: "S", consumer: "C")
        #expect(Array(text.utf8).withUnsafeBytes { writer.read(ByteView($0)) } == nil)
    }
}
