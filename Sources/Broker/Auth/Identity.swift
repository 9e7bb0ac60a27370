// Who a connection is, once it has been let in.

/// The outcome of a login: the account, the user and what the user may do. Made by `Authenticator` only, never changed,
/// and shared: a connection costs one reference.
public final class Identity: Sendable {
    /// How the client was recognised; what a reload checks again.
    enum Credential: Sendable, Equatable {
        /// No authentication was required.
        case open
        /// The one user of the `authorization` block, by name.
        case single([UInt8], Password)
        case token(Password)
        case user([UInt8], Password)
        case nkey(String)
        /// Nothing was offered, and `no_auth_user` names this user.
        case noAuthUser([UInt8])
    }

    /// `$G` where none is configured.
    public let account: String
    /// Whether `account` is the system account.
    public let isSystem: Bool
    /// For connz (`authorized_user`) and the log: the user's name or nkey; empty where there is none.
    public let user: String
    /// nil is everything.
    public let permissions: Permissions?
    let credential: Credential

    init(account: String, isSystem: Bool, user: String, permissions: Permissions?, credential: Credential) {
        self.account = account
        self.isSystem = isSystem
        self.user = user
        self.permissions = permissions
        self.credential = credential
    }
}

extension Identity {
    /// What a client in no account but the default one is: the identity of a broker without authentication.
    public static let anonymous = Identity(
        account: Authenticator.globalAccount, isSystem: false, user: "", permissions: nil, credential: .open)
}
