import Wire
struct ConnectOptions: Sendable {
    var verbose = true, pedantic = true, echo = true, headers = false, noResponders = false
    var protocolVersion = 0
    var lang = "", version = "", name = ""
    var choosesAccount = false
    init() {}
    init(json: ByteView) throws {
        let v = try JSONValue.parse(json)
        verbose = v["verbose"]?.bool ?? true
        pedantic = v["pedantic"]?.bool ?? true
        echo = v["echo"]?.bool ?? true
        headers = v["headers"]?.bool ?? false
        noResponders = v["no_responders"]?.bool ?? false
        protocolVersion = v["protocol"]?.int ?? 0
        name = v["name"]?.string ?? ""
        lang = v["lang"]?.string ?? ""
        version = v["version"]?.string ?? ""
    }
}
struct Identity: Sendable { var accountName = "$G"; var permissions: Permissions?; var displayName: String? }
final class Permissions: Sendable {
    struct R: Sendable {}
    let responses: R? = nil
    func mayDeliver(_ s: ByteView) -> Bool { true }
}
struct ResponsePermits: Sendable {
    init(_ r: Permissions.R) {}
    mutating func add(_ s: ByteView, nowNs: UInt64) {}
    mutating func take(_ s: ByteView, nowNs: UInt64) -> Bool { false }
}
struct SlowCheck: Sendable { func run() -> Identity? { nil } }
final class Authenticator: Sendable {
    enum Verdict { case accepted(Identity), rejected, needsSlowCheck(SlowCheck) }
    init(_ o: Options) throws {}
    var authRequired: Bool { false }
    var nonceRequired: Bool { false }
    var noAuthIdentity: Identity? { nil }
    var defaultIdentity: Identity { Identity() }
    static func makeNonce() -> String { "x" }
    func authenticate(_ c: ConnectOptions, nonce: String?) -> Verdict { .accepted(Identity()) }
    func renew(_ i: Identity) -> Identity? { i }
}
enum SubVerdict { case allowed, denied, allowedWithFilter }
enum Authorization {
    static func mayPublish(_ s: ByteView, _ p: Permissions?, _ x: Subscriber, nowNs: UInt64) -> Bool { true }
    static func isReservedReply(_ s: ByteView) -> Bool { false }
    static func maySubscribe(_ s: ByteView, queue: ByteView, _ p: Permissions?) -> SubVerdict { .allowed }
}
enum NKey { static func makeServerID() throws -> String { "NTEST" } }
