// Why a connection ended: what the client is told, and what /connz calls it.

/// The reasons of nats-server that one node has.
enum ClosedReason: Sendable, Equatable {
    case clientClosed, authenticationTimeout, authenticationFailure, slowConsumerPendingBytes, slowConsumerWriteDeadline
    case writeError, readError, staleConnection, badClientProtocolVersion
    /// Bad arguments: nats-server closes without a word.
    case parseError
    /// An unknown verb: it says so first.
    case parseErrorAnswered
    case maximumConnectionsExceeded, maximumAccountConnectionsExceeded, maximumPayloadExceeded, maximumControlLineExceeded
    case serverShutdown, missingAccount, messageHeaderViolation, noRespondersRequiresHeaders

    /// The text of the `-ERR`, where there is one.
    var error: String? {
        switch self {
        case .authenticationTimeout: "Authentication Timeout"
        case .authenticationFailure: "Authorization Violation"
        case .staleConnection: "Stale Connection"
        case .badClientProtocolVersion: "invalid client protocol"
        case .parseErrorAnswered: "Unknown Protocol Operation"
        case .maximumConnectionsExceeded: "maximum connections exceeded"
        case .maximumAccountConnectionsExceeded: "maximum account active connections exceeded"
        case .maximumPayloadExceeded: "Maximum Payload Violation"
        case .maximumControlLineExceeded: "maximum control line exceeded"
        case .noRespondersRequiresHeaders: "no responders requires headers support"
        default: nil
        }
    }

    /// As in /connz and disconnect events.
    var text: String {
        switch self {
        case .clientClosed: "Client Closed"
        case .authenticationTimeout: "Authentication Timeout"
        case .authenticationFailure: "Authentication Failure"
        case .slowConsumerPendingBytes: "Slow Consumer (Pending Bytes)"
        case .slowConsumerWriteDeadline: "Slow Consumer (Write Deadline)"
        case .writeError: "Write Error"
        case .readError: "Read Error"
        case .parseError, .parseErrorAnswered: "Protocol Violation"
        case .staleConnection: "Stale Connection"
        case .badClientProtocolVersion: "Bad Client Protocol Version"
        case .maximumConnectionsExceeded: "Maximum Connections Exceeded"
        case .maximumAccountConnectionsExceeded: "Maximum Account Connections Exceeded"
        case .maximumPayloadExceeded: "Maximum Message Payload Exceeded"
        case .maximumControlLineExceeded: "Maximum Control Line Exceeded"
        case .serverShutdown: "Server Shutdown"
        case .missingAccount: "Missing Account"
        case .messageHeaderViolation: "Message Header Violation"
        case .noRespondersRequiresHeaders: "No Responders Requires Headers"
        }
    }
}
