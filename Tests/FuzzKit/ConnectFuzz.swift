// CONNECT: any JSON in any field ends in options or in an error.

import Broker
import Wire

enum ConnectFuzz {
    private static let names = [
        "verbose", "pedantic", "echo", "headers", "no_responders", "tls_required", "protocol", "lang", "version", "name",
        "user",
        "pass", "auth_token", "nkey", "jwt", "sig", "account", "new_account", "proxy_sig", "VERBOSE", "Echo", "unknown",
    ]

    @Sendable static func iterate(_ random: inout SeededRandom) throws(FuzzFailure) {
        var members: [JSONObject.Member] = []
        for _ in 0..<random.below(6) {
            members.append(JSONObject.Member(random.pick(names), JSONFuzz.value(&random, depth: 1)))
        }
        var text = JSONValue.object(JSONObject(members)).serialized()
        if random.once(in: 4), !text.isEmpty { text[random.below(text.count)] = UInt8(truncatingIfNeeded: random.next()) }
        var first = ConnectOptions(), second = ConnectOptions()
        let firstResult: Void? = text.withUnsafeBytes { try? first.apply(ByteView($0)) }
        let secondResult: Void? = text.withUnsafeBytes { try? second.apply(ByteView($0)) }
        try require((firstResult == nil) == (secondResult == nil), "judged differently: \(shown(text))")
        _ = first.refusal
    }
}
