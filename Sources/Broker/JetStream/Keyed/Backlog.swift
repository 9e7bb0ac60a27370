// How much waits, and why something is parked.

/// Messages of a key that wait, or that are parked.
struct Backlog {
    var messages: UInt64 = 0
    var bytes: UInt64 = 0

    static func += (a: inout Backlog, b: Backlog) {
        a.messages = saturatingSum(a.messages, b.messages)
        a.bytes = saturatingSum(a.bytes, b.bytes)
    }

    static func -= (a: inout Backlog, b: Backlog) {
        a.messages -= min(a.messages, b.messages)
        a.bytes -= min(a.bytes, b.bytes)
    }
}

/// Why a message is parked.
enum ParkReason: UInt8 {
    case none
    case maxDeliver
    case terminated
    case operatorCommand

    var text: String {
        switch self {
        case .none: ""
        case .maxDeliver: "max_deliver"
        case .terminated: "terminated"
        case .operatorCommand: "operator"
        }
    }
}
