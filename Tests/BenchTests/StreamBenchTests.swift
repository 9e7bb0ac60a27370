// The streams' side of bench: frames, stores, rows and goals.

import Glibc
import Testing

@testable import bench

struct StreamBenchTests {
    private func written(_ frames: StreamFrames, _ number: Int) -> String {
        let target = UnsafeMutablePointer<UInt8>.allocate(capacity: frames.frameBytes)
        defer { target.deallocate() }
        frames.write(number, to: target)
        return String(decoding: UnsafeBufferPointer(start: target, count: frames.frameBytes), as: UTF8.self)
    }

    private func isPayload(_ text: String, of number: Int, _ frames: StreamFrames) -> Bool {
        let bytes = Array(text.utf8)
        return bytes.withUnsafeBufferPointer {
            frames.isPayload(Bytes(start: $0.baseAddress!, count: $0.count), of: number)
        }
    }

    @Test func framesCarryKeyTokenAndNumber() throws {
        let frames = StreamFrames(SubjectPlan(prefix: "booking", subjects: 16), payloadBytes: 24, inbox: "_INBOX.x")
        let lines = written(frames, 0x2B).split(separator: "\r\n", omittingEmptySubsequences: false).map(String.init)
        #expect(lines.count == 3 && lines[2].isEmpty)
        #expect(lines[0] == "PUB booking.0000000b.confirmed _INBOX.x.0000002b 24")
        #expect(lines[1].hasPrefix("0000002bffffffd4") && lines[1].utf8.count == 24)
        #expect(isPayload(lines[1], of: 0x2B, frames))
        #expect(!isPayload(lines[1], of: 0x2C, frames))
        #expect(!isPayload(String(lines[1].dropLast()), of: 0x2B, frames))
        #expect(!isPayload(String(lines[1].dropLast()) + "!", of: 0x2B, frames))
    }

    @Test func everyTenthMessageIsOnTheFilteredSubject() {
        let plan = SubjectPlan(prefix: "guest", subjects: 1_000, everyTenthIsFirst: true)
        let keys = (0..<20_000).map { plan.key(of: $0) }
        #expect(keys.indices.allSatisfy { (keys[$0] == 0) == ($0 % 10 == 0) })
        #expect(Set(keys).count == 1_000 && keys.max() == 999)
        #expect(plan.subject(255) == "guest.000000ff.confirmed")
    }

    @Test func storeLiesOnADiskAndGoesAway() throws {
        var path = ""
        do {
            let store = try StoreDirectory(in: "/var/tmp", sync: .always, number: Int(getpid()))
            path = store.path
            let text = try #require(Files.read(store.configuration))
            #expect(text.contains("store_dir: \"\(path)\"") && text.contains("sync_interval: always"))
            try Files.makeParents(of: path + "/one/two/three/file")
            try Files.write("x", to: path + "/one/two/three/file")
        }
        #expect(access(path, F_OK) != 0)
        if try StoreDirectory.fileSystem(of: "/dev/shm") == "tmpfs" {
            #expect(throws: BenchError.self) { try StoreDirectory(in: "/dev/shm", sync: .standard, number: 0) }
        }
    }

    @Test func absoluteGoalsReadBothWays() {
        #expect(Goal.rateOfFewSubjects(0.8).isReached(by: 0.81) && !Goal.rateOfFewSubjects(0.8).isReached(by: 0.79))
        #expect(Goal.recovery(seconds: 2).isReached(by: 1.9) && !Goal.recovery(seconds: 2).isReached(by: 2.1))
        #expect(Goal.recovery(seconds: 2).text == "≤ 2.00 s")
        #expect(Goal.rateOfFewSubjects(0.8).text == "≥ 0.800x")
        #expect(Goal.bytesPerMessage(0.5).text == "0.500x")
    }

    @Test func everyStreamRowSaysWhenEitherSideSyncs() throws {
        let rows = StreamRows.judged + StreamRows.others
        #expect(rows.allSatisfy { $0.sync != nil && $0.title.contains("; sync ") })
        #expect(try Row.select("streams").map(\.name) == StreamRows.judged.map(\.name))
        #expect(try Row.select("core").allSatisfy { $0.sync == nil && $0.isJudged })
        #expect(StreamRows.judged.allSatisfy(\.isJudged) && !StreamRows.others.contains(where: \.isJudged))
    }

    @Test func statusIsReadFromTheHeader() {
        let block = Array("NATS/1.0 408 Request Timeout\r\n\r\n".utf8)
        block.withUnsafeBufferPointer {
            let empty = Bytes(start: $0.baseAddress!, count: 0)
            let message = Message(
                subject: empty, reply: empty, header: Bytes(start: $0.baseAddress!, count: $0.count), payload: empty)
            #expect(message.status == 408)
            #expect(Message(subject: empty, reply: empty, header: empty, payload: empty).status == nil)
        }
    }
}
