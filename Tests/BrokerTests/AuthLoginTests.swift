import Broker
import Testing

private let nkey = "UCFIRY65OQE7DFP5KLNS2PF2LVZMUZYJX4OZIEQ36N2IQANUB5XVZ45L"
private let signature = "WkliUWRoo49u2WIj0fmdtpzFFcsGOUNv9pRxTJ5Wye9v6AOIX3_pa7GZXkHGqwlJmvl1TDu5iDnyZZ0l6HGJBQ"
private let nonce = Array("nonce-0-abcdef".utf8)
private let hashOfFoobar = "$2a$04$abcdefghijklmnopqrstuu9log0hrAUiurK9/TETFbcPOPd.iIULC"

func user(_ name: String, _ password: String = "p", publish: [String]? = nil) -> UserOptions {
    var user = UserOptions()
    user.name = name
    user.password = password
    if let publish {
        user.permissions = PermissionOptions()
        user.permissions?.publish = SubjectPermissionOptions()
        user.permissions?.publish?.allow = publish
    }
    return user
}

func nkeyUser(_ key: String) -> UserOptions {
    var user = UserOptions()
    user.nkey = key
    return user
}

func account(_ name: String, _ users: UserOptions...) -> AccountOptions {
    var account = AccountOptions(name: name)
    account.users = users
    return account
}

func accepted(_ verdict: Authenticator.Verdict) -> Identity? {
    switch verdict {
    case .accepted(let identity): identity
    case .rejected: nil
    case .needsSlowCheck(let check): accepted(check.run())
    }
}

func accepted(_ authenticator: Authenticator, user: String = "", password: String = "", token: String = "") -> Identity? {
    var options = ConnectOptions()
    options.user = user
    options.password = password
    options.token = token
    return accepted(authenticator.authenticate(options, nonce: []))
}

private func isSlow(_ verdict: Authenticator.Verdict) -> Bool { if case .needsSlowCheck = verdict { true } else { false } }

@Test func authNKeysAreReadAndWritten() throws {
    let keys = [
        ("A", NKey.Kind.account, "ABXHUHG5FGYLPD6RHL2MKWMP572O6KUXCZXDZJXS4T57ZTMAKBN7DAQI"),
        ("O", .operator, "OBXHUHG5FGYLPD6RHL2MKWMP572O6KUXCZXDZJXS4T57ZTMAKBN7DW4O"),
        ("N", .server, "NBXHUHG5FGYLPD6RHL2MKWMP572O6KUXCZXDZJXS4T57ZTMAKBN7C574"), ("U", .user, nkey),
    ]
    for (letter, kind, text) in keys {
        let key = try #require(NKey(text))
        #expect(key.kind == kind && key.text == text && text.hasPrefix(letter))
    }
    for text in [
        "", "U", String(nkey.dropLast()), nkey + "A", nkey.lowercased(), String(nkey.dropLast()) + "M", "1" + nkey.dropFirst(),
    ] {
        #expect(NKey(text) == nil, "\(text)")
    }
    let fresh = try #require(NKey.random(.server)), other = try #require(NKey.random(.server))
    #expect(fresh.text.hasPrefix("N") && fresh.text.utf8.count == 56 && NKey(fresh.text) == fresh && fresh != other)
}

@Test func authNKeySignaturesMadeByTheOfficialLibrary() throws {
    let second = "UAJZR5RMNUNEK7CRXJVEWXZ5XUXWT7FJGILCDDOITF7EC26RPWJ4VH26"
    let url = "UNcA9W7Egefoy9s7TKVF5qgj3FydQ-QMb5s9xoENN88FfZEku3CAQ6ibd0WZSGjj3BxzNxba8o-DZOB4z5yjCg"
    let standard = "UNcA9W7Egefoy9s7TKVF5qgj3FydQ+QMb5s9xoENN88FfZEku3CAQ6ibd0WZSGjj3BxzNxba8o+DZOB4z5yjCg=="
    let key = try #require(NKey(second))
    let message = Array("nonce-1-abcdef".utf8)
    #expect(key.verify(signature: url, of: message))
    #expect(key.verify(signature: standard, of: message))
    #expect(!key.verify(signature: url + "==", of: message))
    #expect(!key.verify(signature: String(standard.dropLast(2)), of: message))
    #expect(!key.verify(signature: url, of: Array("nonce-1-abcdeg".utf8)))
    #expect(!key.verify(signature: signature, of: message))
    for junk in ["", "x", "====", "äö", String(repeating: "A", count: 4_000), "A" + url.dropFirst()] {
        #expect(!key.verify(signature: junk, of: message))
    }
    #expect(try #require(NKey(nkey)).verify(signature: signature, of: nonce))
}

@Test(arguments: [
    ("foobar", "$2a$04$abcdefghijklmnopqrstuu9log0hrAUiurK9/TETFbcPOPd.iIULC"),
    ("foobar", "$2b$04$abcdefghijklmnopqrstuu9log0hrAUiurK9/TETFbcPOPd.iIULC"),
    ("foobar", "$2x$04$abcdefghijklmnopqrstuu9log0hrAUiurK9/TETFbcPOPd.iIULC"),
    ("foobar", "$2y$04$abcdefghijklmnopqrstuu9log0hrAUiurK9/TETFbcPOPd.iIULC"),
    ("", "$2b$04$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq"),
    ("pässwörd", "$2b$04$abcdefghijklmnopqrstuuyx2n0Zzopyr9QuYTMCfOJJOj526QVoC"),
    (String(repeating: "z", count: 80), "$2b$04$abcdefghijklmnopqrstuu7c/9gwyU5n92/NDnt1NVdILq9XYhttG"),
])
func authBcryptVectors(_ phrase: String, _ hash: String) {
    let password = Password(hash)
    #expect(password.isHash && password.matches(phrase))
    #expect(!password.matches(phrase.prefix(3) + "?") && !password.matches(hash))
    #expect(Password(hash + "x").matches(phrase) && !Password(String(hash.dropLast())).matches(phrase))
}

@Test func authPlainPasswords() {
    #expect(Password("p").matches("p") && !Password("p").matches("") && !Password("p").matches("pp"))
    #expect(Password("").matches("") && !Password("").matches("p"))
    #expect(!Password("\u{E9}").matches("e\u{301}"))
    // Looks like a hash, but is none.
    #expect(Password("$2a$xx$").matches("$2a$xx$") && Password("$2q$11$").matches("$2q$11$"))
    // Looks like one and is broken: nobody gets in.
    #expect(
        !Password("$2a$11$short").matches("$2a$11$short")
            && !Password("$2a$99$" + String(repeating: "a", count: 53)).matches("x"))
    #expect(!Password(hashOfFoobar).matches("foobar\0x"))
}

@Test func authNothingConfiguredLetsEverybodyIn() throws {
    let open = Authenticator(Options())
    #expect(!open.authRequired && !open.nonceRequired && open.admitsWithoutConnect)
    #expect(accepted(open.authenticate(nil, nonce: []))?.account == "$G")
    let identity = try #require(accepted(open, user: "x", password: "y", token: "z"))
    #expect(identity.account == "$G" && !identity.isSystem && identity.permissions == nil)
}

@Test func authSingleUser() {
    var options = Options()
    options.authorization.user = "s"
    options.authorization.password = "p"
    options.authorization.defaultPermissions = PermissionOptions()
    let single = Authenticator(options)
    #expect(single.authRequired && !single.admitsWithoutConnect)
    #expect(accepted(single, user: "s", password: "p")?.permissions == nil)
    #expect(accepted(single, user: "s", password: "p")?.user == "s")
    #expect(accepted(single, user: "s", password: "q") == nil)
    #expect(accepted(single, user: "x", password: "p") == nil)
    #expect(accepted(single, token: "p") == nil)
    #expect(accepted(single.authenticate(nil, nonce: [])) == nil)
    options.authorization.password = nil
    #expect(accepted(Authenticator(options), user: "s") != nil)
    #expect(accepted(Authenticator(options), user: "s", password: "q") == nil)
}

@Test func authToken() {
    var options = Options()
    options.authorization.token = "t"
    let token = Authenticator(options)
    #expect(accepted(token, token: "t")?.account == "$G")
    #expect(accepted(token, token: "x") == nil && accepted(token) == nil && accepted(token, user: "s", password: "t") == nil)
    options.authorization.token = hashOfFoobar
    #expect(accepted(Authenticator(options), token: "foobar") != nil)
    #expect(accepted(Authenticator(options), token: "fooba") == nil)
}

@Test func authUsersAndAccounts() throws {
    var options = Options()
    options.authorization.users = [user("g"), user("limited", publish: ["x"])]
    options.authorization.defaultPermissions = PermissionOptions()
    options.authorization.defaultPermissions?.publish = SubjectPermissionOptions()
    options.authorization.defaultPermissions?.publish?.allow = ["d"]
    options.accounts = [account("A", user("a")), account("$SYS", user("admin"))]
    let users = Authenticator(options)
    #expect(users.authRequired && !users.admitsWithoutConnect)
    #expect(accepted(users, user: "g", password: "p")?.permissions?.publishes("d") == true)
    #expect(accepted(users, user: "g", password: "p")?.permissions?.publishes("x") == false)
    #expect(accepted(users, user: "limited", password: "p")?.permissions?.publishes("x") == true)
    // The defaults of one block are not those of another.
    let a = try #require(accepted(users, user: "a", password: "p"))
    #expect(a.account == "A" && !a.isSystem && a.permissions == nil && a.user == "a")
    let admin = try #require(accepted(users, user: "admin", password: "p"))
    #expect(admin.account == "$SYS" && admin.isSystem)
    #expect(accepted(users, user: "a", password: "x") == nil && accepted(users, user: "z", password: "p") == nil)
    #expect(accepted(users) == nil && accepted(users, password: "p") == nil)
    // The same user's connections share one compiled form.
    #expect(accepted(users, user: "g", password: "p")?.permissions === accepted(users, user: "g", password: "p")?.permissions)
    var withAccount = ConnectOptions()
    withAccount.user = "a"
    withAccount.password = "p"
    withAccount.account = "A"
    #expect(accepted(users.authenticate(withAccount, nonce: [])) == nil)
}

@Test func authSystemUsersAloneLeaveTheDoorOpen() {
    var options = Options()
    options.accounts = [account("$SYS", user("admin"))]
    let system = Authenticator(options)
    #expect(system.authRequired && system.admitsWithoutConnect)
    #expect(accepted(system)?.account == "$G")
    #expect(accepted(system.authenticate(nil, nonce: []))?.account == "$G")
    #expect(accepted(system, user: "admin", password: "p")?.isSystem == true)
    #expect(accepted(system, user: "admin", password: "x") == nil && accepted(system, token: "t") == nil)
    options.accounts.append(AccountOptions(name: "A"))
    #expect(accepted(Authenticator(options)) == nil)
    options.accounts = [account("S", user("admin"))]
    #expect(accepted(Authenticator(options)) == nil)
    options.systemAccount = "S"
    #expect(accepted(Authenticator(options))?.account == "$G")
    #expect(accepted(Authenticator(options), user: "admin", password: "p")?.isSystem == true)
}

@Test func authNoAuthUser() {
    var options = Options()
    options.accounts = [account("A", user("a")), account("B", user("b", hashOfFoobar))]
    options.noAuthUser = "b"
    let directory = Authenticator(options)
    #expect(!directory.authRequired && directory.admitsWithoutConnect)
    #expect(accepted(directory)?.account == "B" && accepted(directory)?.user == "b")
    #expect(accepted(directory.authenticate(nil, nonce: []))?.account == "B")
    #expect(accepted(directory, user: "a", password: "p")?.account == "A")
    #expect(accepted(directory, user: "b", password: "foobar")?.account == "B")
    #expect(
        accepted(directory, user: "b") == nil && accepted(directory, password: "p") == nil
            && accepted(directory, token: "t") == nil)
    var withKey = ConnectOptions()
    withKey.nkey = nkey
    #expect(accepted(directory.authenticate(withKey, nonce: []))?.account == "B")
}

@Test func authNKeyLogin() {
    var options = Options()
    options.accounts = [account("A", nkeyUser(nkey), user("a"))]
    let directory = Authenticator(options)
    #expect(directory.nonceRequired && directory.authRequired)
    func login(_ key: String, _ signature: String, _ nonce: [UInt8]) -> Identity? {
        var connect = ConnectOptions()
        connect.nkey = key
        connect.signature = signature
        return accepted(directory.authenticate(connect, nonce: nonce))
    }
    #expect(login(nkey, signature, nonce)?.account == "A" && login(nkey, signature, nonce)?.user == nkey)
    #expect(login(nkey, signature, Array("another".utf8)) == nil && login(nkey, signature, []) == nil)
    #expect(login(nkey, "", nonce) == nil && login(nkey, "xx", nonce) == nil)
    #expect(login("UAJZR5RMNUNEK7CRXJVEWXZ5XUXWT7FJGILCDDOITF7EC26RPWJ4VH26", signature, nonce) == nil)
    #expect(accepted(directory, user: "a", password: "p")?.account == "A")
    #expect(Authenticator.freshNonce()?.count == 22 && Authenticator.freshNonce() != Authenticator.freshNonce())
}

@Test func authConnectionTypes() {
    var options = Options()
    options.authorization.users = [user("ws"), user("std")]
    options.authorization.users[0].allowedConnectionTypes = ["WEBSOCKET"]
    options.authorization.users[1].allowedConnectionTypes = ["standard"]
    #expect(accepted(Authenticator(options), user: "ws", password: "p") == nil)
    #expect(accepted(Authenticator(options), user: "std", password: "p") != nil)
}

@Test func authWrongNamesTakeAsLongAsWrongPasswords() {
    var options = Options()
    options.authorization.users = [user("hashed", hashOfFoobar), user("plain")]
    let directory = Authenticator(options)
    func verdict(_ name: String, _ password: String) -> Authenticator.Verdict {
        var connect = ConnectOptions()
        connect.user = name
        connect.password = password
        return directory.authenticate(connect, nonce: [])
    }
    #expect(isSlow(verdict("hashed", "foobar")) && accepted(verdict("hashed", "foobar")) != nil)
    #expect(isSlow(verdict("nobody", "foobar")) && accepted(verdict("nobody", "foobar")) == nil)
    #expect(isSlow(verdict("plain", "wrong")) && accepted(verdict("plain", "foobar")) == nil)
    #expect(!isSlow(verdict("plain", "p")) && accepted(verdict("plain", "p")) != nil)
}

@Test func authReloadKeepsOnlyWhoIsStillWelcome() throws {
    var options = Options()
    options.accounts = [account("A", user("a", publish: ["x"]), user("b"), nkeyUser(nkey))]
    options.noAuthUser = "b"
    let old = Authenticator(options)
    let a = try #require(accepted(old, user: "a", password: "p"))
    let nobody = try #require(accepted(old))
    #expect(old.renew(a)?.permissions?.publishes("x") == true)

    var changed = options
    changed.accounts[0].users[0] = user("a", publish: ["y"])
    let renewed = try #require(Authenticator(changed).renew(a))
    #expect(renewed.permissions?.publishes("y") == true && renewed.permissions?.publishes("x") == false && renewed.user == "a")

    changed.accounts[0].users[0] = user("a", "other")
    #expect(Authenticator(changed).renew(a) == nil)
    changed = options
    changed.accounts[0].users.removeFirst()
    #expect(Authenticator(changed).renew(a) == nil)
    changed = options
    changed.accounts[0].name = "B"
    #expect(Authenticator(changed).renew(a) == nil)
    #expect(Authenticator(Options()).renew(a) == nil)

    #expect(old.renew(nobody)?.account == "A")
    changed = options
    changed.noAuthUser = nil
    #expect(Authenticator(changed).renew(nobody) == nil)
    let open = try #require(accepted(Authenticator(Options())))
    #expect(Authenticator(Options()).renew(open) != nil && old.renew(open) == nil)
}
