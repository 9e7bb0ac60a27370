import Broker
import Testing
import Wire

func view<R>(_ text: String, _ body: (ByteView) throws -> R) rethrows -> R {
    try Array(text.utf8).withUnsafeBytes { try body(ByteView($0)) }
}

extension Permissions {
    func publishes(_ subject: String) -> Bool { view(subject) { mayPublish($0) } }
    func subscribes(_ subject: String, _ queue: String = "") -> SubscribeVerdict {
        view(subject) { subject in view(queue) { subscribe(subject, queue: $0) } }
    }
    func delivers(_ subject: String, _ queue: String = "") -> Bool {
        view(subject) { subject in view(queue) { mayDeliver(subject, queue: $0) } }
    }
}

private func permissions(_ json: JSONValue) -> PermissionOptions {
    func list(_ value: JSONValue?) -> [String]? { value?.array?.compactMap(\.string) }
    func subjects(_ value: JSONValue?) -> SubjectPermissionOptions? {
        guard let value else { return nil }
        var options = SubjectPermissionOptions()
        options.allow = list(value["allow"])
        options.deny = list(value["deny"]) ?? []
        return options
    }
    var options = PermissionOptions()
    options.publish = subjects(json["publish"])
    options.subscribe = subjects(json["subscribe"])
    if json["allow_responses"]?.bool == true { options.allowResponses = ResponsePermissionOptions() }
    return options
}

private func permissions(_ text: String) throws -> Permissions {
    Permissions(permissions(try JSONValue.parse(Array(text.utf8))))
}

/// Whether an allow list, read the plain way, lets this subscription receive the subject: what nats-server does not ask
/// where a SUB is broader than what allowed it.
private func isAllowed(_ subject: String, queue: String, by allow: [String]?) -> Bool {
    guard let allow else { return true }
    return allow.contains { entry in
        let words = entry.split(separator: " ").map(String.init)
        guard view(words[0], { pattern in view(subject) { Subject.matches(pattern, $0) } }) else { return false }
        if words.count == 1 { return true }
        return !queue.isEmpty
            && (words[1] == queue || view(words[1]) { outer in view(queue) { Subject.isSubset($0, of: outer) } })
    }
}

@Test func authVerdictsAreThoseOfNatsServer() throws {
    let recorded = try JSONValue.parse(Array(recordedPermissionVerdicts.utf8))
    let publishSubjects = try #require(recorded["publishSubjects"]?.array).compactMap(\.string)
    let literals = try #require(recorded["literals"]?.array).compactMap(\.string)
    let subscriptions = try #require(recorded["subscriptions"]?.array).map { $0.array?.compactMap(\.string) ?? [] }
    var compared = 0
    for row in try #require(recorded["rows"]?.array) {
        let options = permissions(try #require(row["p"]))
        let permissions = Permissions(options)
        let text = String(decoding: row["p"]?.serialized() ?? [], as: UTF8.self)
        for (subject, verdict) in zip(publishSubjects, row["pub"]?.array ?? []) {
            #expect(permissions.publishes(subject) == (verdict.int == 1), "publish \(subject) under \(text)")
            compared += 1
        }
        for (subscription, verdict) in zip(subscriptions, row["sub"]?.array ?? []) {
            let subject = subscription[0], queue = subscription[1]
            let mine = permissions.subscribes(subject, queue)
            #expect((mine == .denied) == (verdict.int == -1), "SUB \(subject) \(queue) under \(text)")
            compared += 1
            guard mine != .denied, let delivered = verdict.int, delivered >= 0 else { continue }
            for (index, literal) in literals.enumerated() where view(subject, { s in view(literal) { Subject.matches(s, $0) } })
            {
                let expected = delivered >> index & 1 == 1 && isAllowed(literal, queue: queue, by: options.subscribe?.allow)
                let delivers = mine == .allowed || permissions.delivers(literal, queue)
                #expect(delivers == expected, "\(literal) to SUB \(subject) \(queue) under \(text)")
                compared += 1
            }
        }
    }
    #expect(compared > 5_000)
}

@Test func authDenyWinsAndFiltersBroadSubscriptions() throws {
    let p = try permissions(#"{"publish":{"allow":["a.>"],"deny":["a.b"]},"subscribe":{"allow":["a.>"],"deny":["a.b.>"]}}"#)
    #expect(p.publishes("a.c") && !p.publishes("a.b") && !p.publishes("b"))
    #expect(p.subscribes("a.b.c") == .denied)
    #expect(p.subscribes("a.>") == .filtered)
    #expect(p.subscribes("a.c") == .allowed)
    #expect(p.subscribes("a.*") == .allowed)
    #expect(p.delivers("a.b") && !p.delivers("a.b.c"))
}

@Test func authQueueEntriesSpeakForTheirQueue() throws {
    let p = try permissions(#"{"subscribe":{"allow":["a q.*","b","b only"],"deny":["> bad"]}}"#)
    #expect(p.subscribes("a") == .denied)
    #expect(p.subscribes("a", "q.1") == .allowed)
    #expect(p.subscribes("a", "w") == .denied)
    #expect(p.subscribes("b") == .allowed)
    #expect(p.subscribes("b", "only") == .allowed)
    #expect(p.subscribes("b", "other") == .denied)
    let denied = try permissions(#"{"subscribe":{"deny":["a bad"]}}"#)
    #expect(denied.subscribes("a", "bad") == .denied)
    #expect(denied.subscribes("a") == .allowed)
    #expect(denied.subscribes(">", "bad") == .filtered)
    #expect(!denied.delivers("a", "bad") && denied.delivers("a", "good") && denied.delivers("a"))
}

@Test func authAllowedNarrowIsReceivedNarrow() throws {
    // nats-server accepts `a.>` where `a.*` is allowed, and then delivers a.b.c as well. Here it is accepted and filtered.
    let p = try permissions(#"{"subscribe":{"allow":["a.*"]}}"#)
    #expect(p.subscribes("a.>") == .filtered)
    #expect(p.delivers("a.b") && !p.delivers("a.b.c"))
}

@Test func authResponsesOnlyMeansNoOtherPublish() throws {
    #expect(try !permissions(#"{"allow_responses":true}"#).publishes("a"))
    #expect(try !permissions(#"{"allow_responses":true,"publish":{"deny":["b"]}}"#).publishes("a"))
    #expect(try permissions(#"{"allow_responses":true,"publish":{"allow":["a"]}}"#).publishes("a"))
    var none = PermissionOptions()
    none.publish = SubjectPermissionOptions()
    none.publish?.allow = []
    #expect(!Permissions(none).publishes("a"))
}

@Test func authManyPatternsAgreeWithALinearScan() { fuzzPermissions(seed: 3, rounds: 60) }

/// Compares compiled sets with a scan over their patterns. A fuzz driver runs it for longer.
func fuzzPermissions(seed: UInt64, rounds: Int) {
    var state = seed
    func random(_ below: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(state >> 33) % below
    }
    func subject(_ words: [String]) -> String {
        (0...random(4)).map { _ in words[random(words.count)] }.joined(separator: ".")
    }
    for _ in 0..<rounds {
        var options = PermissionOptions()
        options.publish = SubjectPermissionOptions()
        let patterns = (0..<random(200)).map { _ in subject(["a", "b", "c", "dd", "a*", "*", "*", ">", ""]) }
        options.publish?.allow = patterns
        let permissions = Permissions(options)
        for _ in 0..<100 {
            let literal = subject(["a", "b", "c", "dd", "a*", "x", "*", ">", ""])
            let expected = view(literal) { literal in
                patterns.contains { view($0) { Subject.isValid($0) && Subject.matches($0, literal) } }
            }
            #expect(permissions.publishes(literal) == expected, "seed \(seed): \(literal) among \(patterns)")
        }
    }
}

@Test func authResponsePermitsCountAndExpire() {
    var options = ResponsePermissionOptions()
    options.max = 2
    options.expiresMs = 100
    var permits = ResponsePermits(options)
    view("r.1") { permits.permit($0, nowMs: 1_000) }
    let uses = [
        view("r.1") { permits.use($0, nowMs: 1_000) }, view("r.2") { permits.use($0, nowMs: 1_000) },
        view("r.1") { permits.use($0, nowMs: 1_100) }, view("r.1") { permits.use($0, nowMs: 1_100) },
    ]
    #expect(uses == [true, false, true, false])
    view("r.3") { permits.permit($0, nowMs: 0) }
    let late = view("r.3") { permits.use($0, nowMs: 101) }
    #expect(!late && permits.count == 0)
    options.max = -1
    options.expiresMs = -1
    permits = ResponsePermits(options)
    view("r") { permits.permit($0, nowMs: 0) }
    for _ in 0..<10 { let used = view("r") { permits.use($0, nowMs: .max) }; #expect(used) }
}

@Test func authResponsePermitsStayBounded() {
    var permits = ResponsePermits(ResponsePermissionOptions(), countMax: 100, bytesMax: 1_000)
    for index in 0..<10_000 {
        view("reply.\(index)") { permits.permit($0, nowMs: Int64(index)) }
        #expect(permits.count <= 100)
    }
    let latest = view("reply.9999") { permits.use($0, nowMs: 10_000) }
    let first = view("reply.0") { permits.use($0, nowMs: 10_000) }
    #expect(latest && !first)
    view(String(repeating: "x", count: 2_000)) { permits.permit($0, nowMs: 10_000) }
    let huge = view(String(repeating: "x", count: 2_000)) { permits.use($0, nowMs: 10_000) }
    #expect(!huge)
}

private func verdict(_ authorization: inout Authorization, _ subject: String, reply: String = "", nowMs: Int64 = 0)
    -> Authorization.PublishVerdict
{
    let subject = Array(subject.utf8), reply = Array(reply.utf8)
    return subject.withUnsafeBytes { s in
        reply.withUnsafeBytes { r in authorization.publish(ByteView(s), reply: ByteView(r), nowMs: nowMs) }
    }
}

@Test func authReservedSubjectsAreTheServers() {
    var anyone = Authorization(.anonymous)
    for subject in ["_GR_.x", "$GR.x", "$NRG.x", "$NRG."] { #expect(verdict(&anyone, subject) == .deniedSubject, "\(subject)") }
    for subject in ["_GR_.", "$GR.", "$GNR.x", "_R_.x", "$JS.ACK.x", "$SYS.x", "_INBOX.x", "", "a"] {
        #expect(verdict(&anyone, subject) == .allowed, "\(subject)")
    }
    for reply in ["_R_.", "_R_.x", "$JS.ACK.x", "_GR_.x", "$GR.x"] {
        #expect(verdict(&anyone, "a", reply: reply) == .deniedReply, "\(reply)")
    }
    for reply in ["_R_", "$JS.ACK.", "_GR_.", "$NRG.x", "_INBOX.x"] {
        #expect(verdict(&anyone, "a", reply: reply) == .allowed, "\(reply)")
    }
    #expect(!anyone.tracksResponses)
}

@Test func authResponsesAreAllowedOncePerRequest() throws {
    var options = Options()
    var user = UserOptions()
    user.name = "service"
    user.password = "p"
    user.permissions = PermissionOptions()
    user.permissions?.allowResponses = ResponsePermissionOptions()
    options.authorization.users = [user]
    let identity = try #require(accepted(Authenticator(options), user: "service", password: "p"))
    var service = Authorization(identity)
    #expect(service.tracksResponses)
    #expect(verdict(&service, "inbox.1") == .deniedSubject)
    view("inbox.1") { service.didDeliver(reply: $0, nowMs: 0) }
    #expect(verdict(&service, "inbox.1", nowMs: 1) == .allowed)
    #expect(verdict(&service, "inbox.1", nowMs: 1) == .deniedSubject)
    view("inbox.2") { service.didDeliver(reply: $0, nowMs: 0) }
    #expect(verdict(&service, "inbox.2", nowMs: 120_001) == .deniedSubject)
    view("inbox.3") { service.didDeliver(reply: $0, nowMs: 0) }
    var renewed = service.renewed(as: identity)
    #expect(verdict(&renewed, "inbox.3", nowMs: 1) == .allowed)
}
