// What tests of logs share: publishing, reading back, running the jobs.

import Testing
import Wire

@testable import Store

/// A message as a test keeps it.
struct TestMessage: Equatable {
    var subject: String
    var headers: String = ""
    var payload: [UInt8]
    var timeNs: Int64
}

extension MessageLog {
    @discardableResult
    func publish(
        _ subject: String, _ payload: [UInt8] = [1, 2, 3], headers: String = "", timeNs: Int64 = 1, sequence: UInt64? = nil,
        marks: MessageMarks = []
    ) throws -> UInt64 {
        try Array(subject.utf8).withUnsafeBytes { subject in
            try Array(headers.utf8).withUnsafeBytes { headers in
                try payload.withUnsafeBytes { payload in
                    try append(
                        sequence: sequence, timeNs: timeNs, subject: ByteView(subject), headers: ByteView(headers),
                        payload: ByteView(payload), marks: marks)
                }
            }
        }
    }

    /// Runs commits until nothing is left to be made durable.
    func commitAll(syncs: Bool = true) throws {
        while let job = beginCommit(syncs: syncs) {
            if let error = finishCommit(job.run()) { throw error }
            if !syncs { break }
        }
    }
}

extension FileLog {
    /// The message under a sequence, copied.
    func message(_ sequence: UInt64) throws -> TestMessage? {
        for _ in 0..<100 {
            switch load(sequence) {
            case .message(let message):
                return TestMessage(
                    subject: message.subject.string, headers: message.headers.string, payload: message.payload.bytes,
                    timeNs: message.timeNs)
            case .absent: return nil
            case .reading:
                let job = try #require(beginRead())
                finishRead(job.run())
            case .failed(let error): throw error
            }
        }
        throw StoreError.unusable("reads never end")
    }

    func close() throws {
        while let job = beginClose() {
            if let error = finishCommit(job.run()) { throw error }
        }
    }

    /// Runs maintenance, with the commits that it waits for, until there is none.
    func maintain() throws {
        for _ in 0..<1_000 {
            try commitAll()
            guard let job = beginMaintenance() else { return }
            if let error = finishMaintenance(job.run()) { throw error }
        }
        throw StoreError.unusable("maintenance never ends")
    }
}

func pattern(_ count: Int, _ seed: UInt64) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: UInt64($0) &* 31 &+ seed) }
}
