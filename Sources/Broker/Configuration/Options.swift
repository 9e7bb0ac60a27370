// The limits and settings of one broker, each with its default. Names follow nats-server's
// configuration keys; values are in the unit that ends the name.

/// Everything that can be set by flag or configuration file. A value type: a reload compares two of them.
public struct Options: Sendable, Equatable {
    // Listening
    public var host = "0.0.0.0"
    /// -1 asks the system for a free port.
    public var port = 4222
    public var serverName: String?
    public var clientAdvertise: String?
    /// Event loops; nil is one per online core.
    public var loops: Int?
    /// How long a loop keeps polling after work before it blocks, in microseconds. 0 is off.
    public var spinUs = 0

    // Limits: the defaults are nats-server's.
    public var maxConnections = 65_536
    /// Per connection; 0 is unlimited.
    public var maxSubscriptions = 0
    /// 0 is unlimited.
    public var maxSubscriptionTokens = 0
    public var maxControlLineBytes = 4_096
    public var maxPayloadBytes = 1_048_576
    public var maxPendingBytes = 67_108_864
    public var pingIntervalMs = 120_000
    public var pingsOutMax = 2
    public var writeDeadlineMs = 10_000
    public var authTimeoutMs = 2_000
    public var noFastProducerStall = false
    public var noHeaderSupport = false
    public var lameDuckDurationMs = 120_000
    public var lameDuckGracePeriodMs = 10_000
    public var maxClosedClients = 10_000

    // Monitoring: nil is off, -1 asks for a free port.
    public var monitorHost: String?
    public var monitorPort: Int?
    public var monitorBasePath = ""

    // Authorization
    public var authorization = AuthorizationOptions()
    public var accounts: [AccountOptions] = []
    public var systemAccount: String?
    public var noSystemAccount = false
    public var noAuthUser: String?

    // Streams
    public var jetStream = JetStreamOptions()

    // Files and logging
    public var configFile: String?
    public var pidFile: String?
    public var portsFileDirectory: String?
    public var log = LogOptions()

    public init() {}
}

public struct LogOptions: Sendable, Equatable {
    public var file: String?
    public var debug = false
    public var trace = false
    public var traceVerbose = false
    public var timestamps = true
    public var utc = false
    /// 0 is no rotation.
    public var fileSizeLimitBytes = 0
    public var fileCountMax = 0
    public var syslog = false
    public var remoteSyslog: String?
    public var tracedMessageBytesMax = 0
    public init() {}
}

/// The top-level `authorization` block: who may connect to the default account.
public struct AuthorizationOptions: Sendable, Equatable {
    public var user: String?
    public var password: String?
    public var token: String?
    public var users: [UserOptions] = []
    public var defaultPermissions: PermissionOptions?
    public init() {}
    public var isRequired: Bool { user != nil || token != nil || !users.isEmpty }
}

/// One user by name and password, or by nkey (a public key that begins with U).
public struct UserOptions: Sendable, Equatable {
    public var name: String?
    public var password: String?
    public var nkey: String?
    public var permissions: PermissionOptions?
    public var allowedConnectionTypes: [String] = []
    public init() {}
}

public struct PermissionOptions: Sendable, Equatable {
    public var publish: SubjectPermissionOptions?
    public var subscribe: SubjectPermissionOptions?
    public var allowResponses: ResponsePermissionOptions?
    public init() {}
}

/// nil `allow` is "everything"; an empty one is "nothing". Subscribe entries may be "subject queue".
public struct SubjectPermissionOptions: Sendable, Equatable {
    public var allow: [String]?
    public var deny: [String] = []
    public init() {}
}

public struct ResponsePermissionOptions: Sendable, Equatable {
    public var max = 1
    public var expiresMs = 120_000
    public init() {}
}

public struct AccountOptions: Sendable, Equatable {
    public var name: String
    /// The account's public key (it begins with A), where one is configured.
    public var nkey: String?
    public var users: [UserOptions] = []
    public var defaultPermissions: PermissionOptions?
    /// -1 is unlimited.
    public var maxConnections = -1
    public var maxSubscriptions = -1
    public var maxPayloadBytes = -1
    /// nil: no streams for this account.
    public var jetStream: AccountJetStreamOptions?
    public init(name: String) { self.name = name }
}
