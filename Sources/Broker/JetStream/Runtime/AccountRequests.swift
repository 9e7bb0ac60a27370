// What clients ask of JetStream by request: finds out which operation is meant, and whose it is to answer.

import Wire

/// One operation of the API, by its subject.
enum AccountRequest {
    case accountInfo
    case streamCreate(name: ByteView)
    case streamUpdate(name: ByteView)
    case streamDelete(name: ByteView)
    case streamRestore(name: ByteView)
    case streamNames
    case streamList
    /// Answered by the stream's own loop: INFO, PURGE, MSG.GET, MSG.DELETE, SNAPSHOT and everything about consumers.
    case stream(name: ByteView)
    /// Leaders and peers: there are none here.
    case clusterOnly(type: StaticString)
    case unknown
}

enum AccountRequests {
    static let prefix: StaticString = "$JS.API."

    /// False for what streams and consumers subscribe to themselves: without them nobody answers, and the client is told so.
    static func takes(_ subject: ByteView) -> Bool {
        !subject.hasPrefix("$JS.API.CONSUMER.MSG.NEXT.") && !subject.hasPrefix("$JS.API.DIRECT.GET.")
    }

    /// Reads a subject under `$JS.API.`
    static func parse(_ subject: ByteView) -> AccountRequest {
        guard subject.hasPrefix(prefix) else { return .unknown }
        let tokens = Subject.tokenCount(subject)
        func token(_ place: Int) -> ByteView { Subject.token(subject, at: place) ?? .empty }
        if tokens == 3 { return token(2).equals("INFO") ? .accountInfo : .unknown }
        let group = token(2), operation = token(3)
        switch tokens {
        case 4 where group.equals("STREAM") && operation.equals("NAMES"): return .streamNames
        case 4 where group.equals("STREAM") && operation.equals("LIST"): return .streamList
        case 5 where group.equals("STREAM"): return stream(operation, token(4))
        case 6 where group.equals("STREAM") && operation.equals("MSG"):
            return token(4).equals("GET") || token(4).equals("DELETE") ? .stream(name: token(5)) : .unknown
        case 6 where group.equals("STREAM") && operation.equals("LEADER"):
            return .clusterOnly(type: "stream_leader_stepdown_response")
        case 6 where group.equals("STREAM") && operation.equals("PEER"):
            return .clusterOnly(type: "stream_remove_peer_response")
        case 5... where group.equals("CONSUMER"): return consumer(operation, subject, tokens)
        default: return .unknown
        }
    }

    private static func stream(_ operation: ByteView, _ name: ByteView) -> AccountRequest {
        if operation.equals("CREATE") { return .streamCreate(name: name) }
        if operation.equals("UPDATE") { return .streamUpdate(name: name) }
        if operation.equals("DELETE") { return .streamDelete(name: name) }
        if operation.equals("RESTORE") { return .streamRestore(name: name) }
        if operation.equals("INFO") || operation.equals("PURGE") || operation.equals("SNAPSHOT") { return .stream(name: name) }
        return .unknown
    }

    private static func consumer(_ operation: ByteView, _ subject: ByteView, _ tokens: Int) -> AccountRequest {
        func name(_ place: Int) -> AccountRequest { .stream(name: Subject.token(subject, at: place) ?? .empty) }
        if operation.equals("CREATE") { return name(4) }
        if operation.equals("NAMES") || operation.equals("LIST") { return tokens == 5 ? name(4) : .unknown }
        if operation.equals("DURABLE") { return tokens == 7 ? name(5) : .unknown }
        if operation.equals("LEADER") { return tokens == 7 ? .clusterOnly(type: "consumer_leader_stepdown_response") : .unknown }
        let known = ["INFO", "DELETE", "PAUSE", "UNPIN", "RESET"]
        return tokens == 6 && known.contains(operation.string) ? name(4) : .unknown
    }
}
