// Decides who may connect: the users, nkeys and tokens of one configuration, ready to be looked up.

import Wire

/// The directory of users made from one set of options. It never changes; a reload makes another and swaps it whole.
///
/// Order of judgement as on nats-server: nkey, user of the users lists, token, the single user. JWTs and callouts are not
/// supported; a JWT is ignored.
public final class Authenticator: Sendable {
    public static let globalAccount = "$G"
    public static let defaultSystemAccount = "$SYS"

    public enum Verdict: Sendable {
        case accepted(Identity)
        /// Answer `Authorization Violation` and close.
        case rejected
        /// A password hash has to be computed: run it away from the event loops, on a pool that bounds how many wait.
        case needsSlowCheck(SlowCheck)
    }

    /// A login that waits for a hash.
    public struct SlowCheck: Sendable {
        let password: Password
        let offered: String
        /// nil where the answer is no in any case, and the hash only takes the time that a real check would.
        let identity: Identity?

        /// Takes about 100 ms of processor time, more or less with the cost in the hash. Never `needsSlowCheck` again.
        public func run() -> Verdict {
            let matches = password.matches(offered)
            guard let identity, matches else { return .rejected }
            return .accepted(identity)
        }
    }

    /// One entry of a users list, with its account resolved and its permissions compiled.
    private struct User: Sendable {
        let account: String
        let password: Password
        let permissions: Permissions?
        /// Empty allows every kind of connection.
        let connectionTypes: [String]

        /// This broker has plain client connections only.
        var mayConnect: Bool { connectionTypes.isEmpty || connectionTypes.contains("STANDARD") }
    }

    /// The name of the system account, `$SYS` unless configured; nil where there is none.
    public let systemAccount: String?
    /// Whether the accepting connection must wait for a CONNECT with credentials.
    private let isRequired: Bool
    private let users: [[UInt8]: User]
    private let nkeys: [String: User]
    private let noAuthUser: [UInt8]?
    private let single: (name: [UInt8], password: Password)?
    private let token: Password?
    /// Users exist, but in the system account only: everybody else still comes in without credentials.
    private let isOpenBesideSystem: Bool
    /// A hash to spend time on where there is none to check, so that a wrong name takes as long as a wrong password.
    private let decoy: Password?

    public init(_ options: Options) {
        let system = options.noSystemAccount ? nil : options.systemAccount ?? Authenticator.defaultSystemAccount
        var users: [[UInt8]: User] = [:]
        var nkeys: [String: User] = [:]
        func add(_ entries: [UserOptions], to account: String, defaults: PermissionOptions?) {
            // Users that share the defaults share the compiled form.
            let defaultPermissions = defaults.map { Permissions($0) }
            for entry in entries {
                let user = User(
                    account: account, password: Password(entry.password ?? ""),
                    permissions: entry.permissions.map { Permissions($0) } ?? defaultPermissions,
                    connectionTypes: entry.allowedConnectionTypes.map { $0.uppercased() })
                if let nkey = entry.nkey { nkeys[nkey] = user } else if let name = entry.name { users[Array(name.utf8)] = user }
            }
        }
        let authorization = options.authorization
        add(authorization.users, to: Authenticator.globalAccount, defaults: authorization.defaultPermissions)
        for account in options.accounts { add(account.users, to: account.name, defaults: account.defaultPermissions) }

        self.users = users
        self.nkeys = nkeys
        systemAccount = system
        single = authorization.user.map { (Array($0.utf8), Password(authorization.password ?? "")) }
        token = authorization.token.map { Password($0) }
        noAuthUser = options.noAuthUser.flatMap { $0.isEmpty ? nil : Array($0.utf8) }
        isRequired = authorization.isRequired || !users.isEmpty || !nkeys.isEmpty
        isOpenBesideSystem =
            system != nil && !authorization.isRequired && noAuthUser == nil
            && options.accounts.allSatisfy { $0.name == system || ($0.name == Authenticator.globalAccount && $0.users.isEmpty) }
        decoy = (users.values.map(\.password) + [single?.password, token].compactMap { $0 }).first { $0.isHash }
    }

    /// What INFO says as `auth_required`: false also where `no_auth_user` lets in whoever offers nothing.
    public var authRequired: Bool { isRequired && noAuthUser == nil }

    /// Whether everybody comes in, with credentials or without.
    public var isOpen: Bool { !isRequired }

    /// Whether INFO has to carry a nonce for nkey users to sign.
    public var nonceRequired: Bool { !nkeys.isEmpty }

    /// Whether a connection may begin with another verb than CONNECT; if so, `authenticate(nil, ...)` says as whom.
    public var admitsWithoutConnect: Bool { !isRequired || isOpenBesideSystem || noAuthUser != nil }

    /// A nonce for one connection: 22 characters that nobody can guess; nil only where the system has no randomness.
    public static func freshNonce() -> [UInt8]? {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
        return Ed25519.randomBytes(22)?.map { alphabet[Int($0 & 63)] }
    }

    /// Judges a CONNECT; nil options stand for a client that began with another verb.
    /// - Parameter nonce: The bytes that this connection's INFO gave; empty where it gave none.
    public func authenticate(_ options: ConnectOptions?, nonce: [UInt8]) -> Verdict {
        let options = options ?? ConnectOptions()
        if !options.account.isEmpty || options.newAccount { return .rejected }
        if !isRequired {
            return .accepted(identity(Authenticator.globalAccount, shownAs: options.user, nil, .open))
        }
        if !nkeys.isEmpty && !options.nkey.isEmpty { return authenticate(nkey: options, nonce: nonce) }
        if options.offersNothing, let admitted = admitNobody() { return .accepted(admitted) }
        if !options.user.isEmpty && !(users.isEmpty && nkeys.isEmpty) { return authenticate(user: options) }
        if let token {
            return check(token, options.token, for: identity(Authenticator.globalAccount, shownAs: "", nil, .token(token)))
        }
        if let single {
            let isNamed = Password.equal(Array(options.user.utf8), single.name)
            let credential = Identity.Credential.single(single.name, single.password)
            return check(
                single.password, options.password,
                for: isNamed ? identity(Authenticator.globalAccount, shownAs: options.user, nil, credential) : nil)
        }
        return refuse(offered: options.password)
    }

    private func authenticate(nkey options: ConnectOptions, nonce: [UInt8]) -> Verdict {
        guard let user = nkeys[options.nkey], user.mayConnect, !nonce.isEmpty,
            let key = NKey(options.nkey), key.verify(signature: options.signature, of: nonce)
        else { return .rejected }
        return .accepted(identity(user, shownAs: options.nkey, .nkey(options.nkey)))
    }

    private func authenticate(user options: ConnectOptions) -> Verdict {
        let name = Array(options.user.utf8)
        guard let user = users[name] else { return refuse(offered: options.password) }
        let accepted = identity(user, shownAs: options.user, .user(name, user.password))
        return check(user.password, options.password, for: user.mayConnect ? accepted : nil)
    }

    /// Whom a client without credentials is taken for. Its password is not asked, hashed or not.
    private func admitNobody() -> Identity? {
        if isOpenBesideSystem { return identity(Authenticator.globalAccount, shownAs: "", nil, .open) }
        guard let noAuthUser else { return nil }
        let name = String(decoding: noAuthUser, as: UTF8.self)
        guard let user = users[noAuthUser] ?? nkeys[name], user.mayConnect else { return nil }
        return identity(user, shownAs: name, .noAuthUser(noAuthUser))
    }

    private func check(_ password: Password, _ offered: String, for identity: Identity?) -> Verdict {
        if password.isHash { return .needsSlowCheck(SlowCheck(password: password, offered: offered, identity: identity)) }
        let matches = password.matches(offered)
        guard let identity, matches else { return refuse(offered: offered) }
        return .accepted(identity)
    }

    /// Says no, after as long as a hash takes where this directory has any.
    private func refuse(offered: String) -> Verdict {
        guard let decoy else { return .rejected }
        return .needsSlowCheck(SlowCheck(password: decoy, offered: offered, identity: nil))
    }

    private func identity(_ user: User, shownAs name: String, _ credential: Identity.Credential) -> Identity {
        identity(user.account, shownAs: name, user.permissions, credential)
    }

    private func identity(
        _ account: String, shownAs name: String, _ permissions: Permissions?, _ credential: Identity.Credential
    ) -> Identity {
        Identity(
            account: account, isSystem: account == systemAccount, user: name, permissions: permissions, credential: credential)
    }

    /// The identity, made by an earlier directory, under this one: with today's permissions, or nil where it is no longer
    /// to be had and the connection has to go. A changed password, account or way of admission ends it; nothing is hashed.
    public func renew(_ old: Identity) -> Identity? {
        switch old.credential {
        case .open:
            guard !isRequired || isOpenBesideSystem else { return nil }
            return identity(Authenticator.globalAccount, shownAs: old.user, nil, .open)
        case .single(let name, let password):
            guard let single, single.name == name, single.password == password else { return nil }
            return identity(Authenticator.globalAccount, shownAs: old.user, nil, old.credential)
        case .token(let password):
            guard token == password else { return nil }
            return identity(Authenticator.globalAccount, shownAs: old.user, nil, old.credential)
        case .user(let name, let password):
            guard let user = users[name], user.password == password else { return nil }
            return renew(old, as: user)
        case .nkey(let nkey):
            return nkeys[nkey].flatMap { renew(old, as: $0) }
        case .noAuthUser(let name):
            guard noAuthUser == name else { return nil }
            return (users[name] ?? nkeys[String(decoding: name, as: UTF8.self)]).flatMap { renew(old, as: $0) }
        }
    }

    private func renew(_ old: Identity, as user: User) -> Identity? {
        guard user.mayConnect, user.account == old.account else { return nil }
        return identity(user, shownAs: old.user, old.credential)
    }
}
