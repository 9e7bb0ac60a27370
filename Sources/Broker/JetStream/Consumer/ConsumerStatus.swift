// The status messages of consumers, byte for byte as nats-server words them: header blocks without a payload.

import Wire

enum ConsumerStatus {
    static let noMessages = bytes("NATS/1.0 404 No Messages\r\n\r\n")
    static let requestsPending = bytes("NATS/1.0 408 Requests Pending\r\n\r\n")
    static let consumerDeleted = bytes("NATS/1.0 409 Consumer Deleted\r\n\r\n")
    static let serverShutdown = bytes("NATS/1.0 409 Server Shutdown\r\n\r\n")
    static let pushBased = bytes("NATS/1.0 409 Consumer is push based\r\n\r\n")
    static let requiredAPILevel = bytes("NATS/1.0 412 Required Api Level\r\n\r\n")
    static let maxWaiting = bytes("NATS/1.0 409 Exceeded MaxWaiting\r\n\r\n")
    static let pinMismatch = bytes("NATS/1.0 423 Nats-Pin-Id mismatch\r\n\r\n")
    static let flowControl = bytes("NATS/1.0 100 FlowControl Request\r\n\r\n")

    static func badRequest(_ reason: String) -> [UInt8] { bytes("NATS/1.0 400 Bad Request - \(reason)\r\n\r\n") }
    static func exceeded(_ what: String, _ limit: String) -> [UInt8] {
        bytes("NATS/1.0 409 Exceeded \(what) of \(limit)\r\n\r\n")
    }

    /// With what is left of the request.
    static func timeout(_ request: WaitingRequest) -> [UInt8] { ending("408 Request Timeout", request) }
    static func tooLarge(_ request: WaitingRequest) -> [UInt8] { ending("409 Message Size Exceeds MaxBytes", request) }
    static func batchCompleted(_ request: WaitingRequest) -> [UInt8] { ending("409 Batch Completed", request) }
    static func wrongPin(_ request: WaitingRequest) -> [UInt8] { ending("423 Nats-Wrong-Pin-Id", request) }

    private static func ending(_ status: String, _ request: WaitingRequest) -> [UInt8] {
        bytes(
            "NATS/1.0 \(status)\r\nNats-Pending-Messages: \(request.batch &- request.implied)\r\nNats-Pending-Bytes: \(request.bytes)\r\n\r\n"
        )
    }

    /// - Parameter stalled: the flow control subject that the client has not answered on.
    static func heartbeat(consumer: UInt64, stream: UInt64, stalled: [UInt8]) -> [UInt8] {
        var block = bytes("NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: \(consumer)\r\nNats-Last-Stream: \(stream)\r\n")
        if !stalled.isEmpty { block += bytes("Nats-Consumer-Stalled: ") + stalled + bytes("\r\n") }
        return block + bytes("\r\n")
    }

    private static func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }
}

extension Consumer {
    func send(_ status: [UInt8], to subject: [UInt8], reply: [UInt8] = []) {
        let host = stream.host
        subject.withUnsafeBytes { subject in
            reply.withUnsafeBytes { reply in
                status.withUnsafeBytes { status in
                    host.publish(
                        ByteView(subject), reply: ByteView(reply), headers: ByteView(status), payload: .empty)
                }
            }
        }
    }

    func send(_ status: [UInt8], to subject: ByteView) {
        let host = stream.host
        status.withUnsafeBytes { host.publish(subject, reply: .empty, headers: ByteView($0), payload: .empty) }
    }
}
