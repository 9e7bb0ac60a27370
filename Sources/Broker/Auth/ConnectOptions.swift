// What a client says about itself in CONNECT.

import Wire

/// The options of one connection, with the values that hold while it has sent no CONNECT.
///
/// The whole line is bounded by `max_control_line`, and so are the texts kept here.
public struct ConnectOptions: Sendable, Equatable {
    public var verbose = true
    public var pedantic = true
    public var echo = true
    public var headers = false
    public var noResponders = false
    public var tlsRequired = false
    /// 1 understands asynchronous INFO. Other numbers are refused by `refusal`.
    public var `protocol` = 0
    public var lang = ""
    public var version = ""
    public var name = ""
    public var user = ""
    public var password = ""
    public var token = ""
    public var nkey = ""
    public var jwt = ""
    public var signature = ""
    public var account = ""
    public var newAccount = false

    public init() {}

    /// What answers a CONNECT that reads well but asks for something that is not to be had.
    /// The texts are nats-server's; each closes the connection.
    public enum Refusal: Error, Equatable {
        case authorizationViolation, invalidProtocol, noRespondersNeedHeaders

        public var errorText: StaticString {
            switch self {
            case .authorizationViolation: "Authorization Violation"
            case .invalidProtocol: "invalid client protocol"
            case .noRespondersNeedHeaders: "no responders requires headers support"
            }
        }
    }

    /// What to refuse the client for, if anything. `account` and `new_account` are relics that nats-server refuses
    /// as a failed login; it checks them, and the credentials, before the rest.
    public var refusal: Refusal? {
        if !account.isEmpty || newAccount { return .authorizationViolation }
        if self.protocol < 0 || self.protocol > 1 { return .invalidProtocol }
        if noResponders && !headers { return .noRespondersNeedHeaders }
        return nil
    }

    /// Whether the client offered anything to be known by. One that did not may become the `no_auth_user`.
    /// A lone nkey or JWT counts as nothing, as on nats-server.
    var offersNothing: Bool { user.isEmpty && password.isEmpty && token.isEmpty }
}

/// A CONNECT that is no JSON object, or has a known member of the wrong type. nats-server closes the connection
/// without an -ERR, whatever the mistake; the text is for the log.
public struct ConnectError: Error, Equatable, Sendable {
    public let text: String
}

extension ConnectOptions {
    /// Takes in the argument of a CONNECT. A repeated CONNECT changes what it names and leaves the rest as it was.
    ///
    /// As Go reads JSON: member names in any case, the last of several wins, null changes nothing, unknown members are
    /// ignored, and a number for a text is an error.
    public mutating func apply(_ argument: ByteView) throws(ConnectError) {
        let value: JSONValue
        do throws(JSONError) {
            value = try JSONValue.parse(argument)
        } catch {
            throw ConnectError(text: "invalid JSON in CONNECT at byte \(error.offset): \(error.reason)")
        }
        if value.isNull { return }
        guard let object = value.object else { throw ConnectError(text: "CONNECT takes a JSON object") }
        var changed = self
        for member in object.members where !member.value.isNull { try changed.set(member.name, member.value) }
        self = changed
    }

    private mutating func set(_ name: String, _ value: JSONValue) throws(ConnectError) {
        guard let field = ConnectOptions.fields.first(where: { JSONObject.sameName($0.name, name) }) else { return }
        switch (field.place, value) {
        case (.flag(let path), .bool(let flag)): self[keyPath: path] = flag
        case (.text(let path), .string(let text)): self[keyPath: path] = text
        case (.protocol, .number(let number)):
            guard let level = number.int else { throw ConnectError(text: "CONNECT protocol is no whole number") }
            self.protocol = level
        case (.ignored(let fits), _) where fits(value): break
        default: throw ConnectError(text: "CONNECT has the wrong type for \(field.name)")
        }
    }

    private enum Place: Sendable {
        case flag(WritableKeyPath<ConnectOptions, Bool> & Sendable)
        case text(WritableKeyPath<ConnectOptions, String> & Sendable)
        case `protocol`
        /// Known to nats-server for other kinds of connection; only the type is looked at.
        case ignored(@Sendable (JSONValue) -> Bool)
    }

    private static let fields: [(name: String, place: Place)] = [
        ("echo", .flag(\.echo)), ("verbose", .flag(\.verbose)), ("pedantic", .flag(\.pedantic)),
        ("headers", .flag(\.headers)), ("no_responders", .flag(\.noResponders)), ("tls_required", .flag(\.tlsRequired)),
        ("new_account", .flag(\.newAccount)),
        ("nkey", .text(\.nkey)), ("jwt", .text(\.jwt)), ("sig", .text(\.signature)), ("auth_token", .text(\.token)),
        ("user", .text(\.user)), ("pass", .text(\.password)), ("name", .text(\.name)), ("lang", .text(\.lang)),
        ("version", .text(\.version)), ("account", .text(\.account)),
        ("protocol", .protocol),
        ("proxy_sig", .ignored { $0.string != nil }), ("remote_account", .ignored { $0.string != nil }),
        ("import", .ignored { $0.object != nil }), ("export", .ignored { $0.object != nil }),
    ]
}
