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
    case stream(name: ByteView, APIResponse.Kind)
    /// Leaders and peers: there are none here.
    case clusterOnly(APIResponse.Kind)
    case unknown
}

extension AccountRequest {
    /// What it is answered with; nil for what is not known, and for what only clusters do.
    var kind: APIResponse.Kind? {
        switch self {
        case .accountInfo: .accountInfo
        case .streamCreate: .streamCreate
        case .streamUpdate: .streamUpdate
        case .streamDelete: .streamDelete
        case .streamRestore: .streamRestore
        case .streamNames: .streamNames
        case .streamList: .streamList
        case .stream(_, let kind): kind
        case .clusterOnly, .unknown: nil
        }
    }
}

enum AccountRequests {
    static let prefix: StaticString = "$JS.API."

    /// False for what streams and consumers subscribe to themselves: without them nobody answers, and the client is told so.
    static func takes(_ subject: ByteView) -> Bool {
        // To a domain by name: looked at when it is dealt with.
        if !subject.hasPrefix(prefix) { return true }
        return isForAccount(subject)
    }

    private static func isForAccount(_ subject: ByteView) -> Bool {
        !subject.hasPrefix("$JS.API.CONSUMER.MSG.NEXT.") && !subject.hasPrefix("$JS.API.DIRECT.GET.")
    }

    /// A subject that was sent to a domain by name, as it would be without: `$JS.hub.API.INFO` is `$JS.API.INFO`, and
    /// `$JS.hub.API.$KV.b.k` is `$KV.b.k`.
    static func withoutDomain(_ subject: ByteView) -> [UInt8]? {
        guard subject.hasPrefix("$JS."), let domain = Subject.token(subject, at: 1), let api = Subject.token(subject, at: 2),
            api.equals("API"), Subject.tokenCount(subject) > 3
        else { return nil }
        let start = 4 + domain.count + 5
        let rest = ByteView(subject.base + start, subject.count - start)
        if rest.hasPrefix("$KV.") || rest.hasPrefix("$O.") { return rest.bytes }
        return Array("$JS.API.".utf8) + rest.bytes
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
            if token(4).equals("GET") { return .stream(name: token(5), .messageGet) }
            return token(4).equals("DELETE") ? .stream(name: token(5), .messageDelete) : .unknown
        case 6 where group.equals("STREAM") && operation.equals("LEADER"): return .clusterOnly(.streamLeaderStepDown)
        case 6 where group.equals("STREAM") && operation.equals("PEER"): return .clusterOnly(.streamRemovePeer)
        case 5... where group.equals("CONSUMER"): return consumer(operation, subject, tokens)
        default: return .unknown
        }
    }

    private static func stream(_ operation: ByteView, _ name: ByteView) -> AccountRequest {
        if operation.equals("CREATE") { return .streamCreate(name: name) }
        if operation.equals("UPDATE") { return .streamUpdate(name: name) }
        if operation.equals("DELETE") { return .streamDelete(name: name) }
        if operation.equals("RESTORE") { return .streamRestore(name: name) }
        if operation.equals("INFO") { return .stream(name: name, .streamInfo) }
        if operation.equals("PURGE") { return .stream(name: name, .streamPurge) }
        return operation.equals("SNAPSHOT") ? .stream(name: name, .streamSnapshot) : .unknown
    }

    private static func consumer(_ operation: ByteView, _ subject: ByteView, _ tokens: Int) -> AccountRequest {
        func stream(_ place: Int, _ kind: APIResponse.Kind) -> AccountRequest {
            .stream(name: Subject.token(subject, at: place) ?? .empty, kind)
        }
        if operation.equals("CREATE") { return stream(4, .consumerCreate) }
        if operation.equals("DURABLE") { return tokens == 7 ? stream(5, .consumerCreate) : .unknown }
        if operation.equals("NAMES") { return tokens == 5 ? stream(4, .consumerNames) : .unknown }
        if operation.equals("LIST") { return tokens == 5 ? stream(4, .consumerList) : .unknown }
        if operation.equals("LEADER") { return tokens == 7 ? .clusterOnly(.consumerLeaderStepDown) : .unknown }
        guard tokens == 6 else { return .unknown }
        let kinds: [(StaticString, APIResponse.Kind)] = [
            ("INFO", .consumerInfo), ("DELETE", .consumerDelete), ("PAUSE", .consumerPause), ("UNPIN", .consumerUnpin),
            ("RESET", .consumerReset),
        ]
        for (name, kind) in kinds where operation.equals(name) { return stream(4, kind) }
        return .unknown
    }
}
