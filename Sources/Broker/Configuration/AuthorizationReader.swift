// Reads the `authorization` block, lists of users and their permissions.

extension OptionsReader {
    mutating func readAuthorization(_ block: ConfigurationValue) throws(ConfigurationError) {
        var authorization = AuthorizationOptions()
        for (key, value) in try block.map().entries {
            do throws(ConfigurationError) {
                switch key.lowercased() {
                case "user", "username": authorization.user = try value.path()
                case "pass", "password": authorization.password = try value.path()
                case "token": authorization.token = try value.path()
                case "timeout":
                    options.authTimeoutMs = try authorizationTimeoutMs(value)
                case "users": authorization.users = try readUsers(value)
                case "default_permission", "default_permissions", "permissions":
                    authorization.defaultPermissions = try readPermissions(value)
                case let name where UnsupportedKeys.authorization.contains(name):
                    if name == "auth_callout" || !value.asksForNothing(except: name) { throw unsupported(key, value) }
                default:
                    if !value.isUsedVariable { throw .about(value.position, "unknown field \(goQuoted(key))") }
                }
            } catch {
                errors.append(error)
            }
        }
        if authorization.user != nil || authorization.password != nil, authorization.token != nil {
            throw .about(block.position, "Cannot have a user/pass and token")
        }
        if !authorization.users.isEmpty {
            if authorization.user != nil {
                throw .about(block.position, "Can not have a single user/pass and a users array")
            }
            if authorization.token != nil { throw .about(block.position, "Can not have a token and a users array") }
        }
        applyDefaults(authorization.defaultPermissions, to: &authorization.users)
        rejectDuplicates(authorization.users, at: block.position)
        options.authorization = authorization
    }

    private func authorizationTimeoutMs(_ value: ConfigurationValue) throws(ConfigurationError) -> Int {
        let duration: ConfigurationDuration?
        switch value.kind {
        case .integer(let seconds): duration = ConfigurationDuration(seconds: Double(seconds))
        case .float(let seconds): duration = ConfigurationDuration(seconds: seconds)
        case .string:
            duration = try value.duration("timeout", prefix: "error parsing authorization config, 'timeout'")
        default: throw .about(value.position, "error parsing authorization config, 'timeout' wrong type")
        }
        guard let duration else { throw .about(value.position, "error parsing authorization config, 'timeout' is too big") }
        return duration.nanoseconds == 0 ? Options().authTimeoutMs : duration.milliseconds
    }

    /// A user without permissions of its own has the block's.
    func applyDefaults(_ permissions: PermissionOptions?, to users: inout [UserOptions]) {
        guard let permissions else { return }
        for index in users.indices where users[index].permissions == nil { users[index].permissions = permissions }
    }

    mutating func rejectDuplicates(_ users: [UserOptions], at position: ConfigurationPosition) {
        for user in users {
            if let nkey = user.nkey {
                if !usersSeen.insert(nkey).inserted {
                    errors.append(.about(position, "Duplicate nkey \(goQuoted(nkey)) detected"))
                }
            } else if let name = user.name, !usersSeen.insert(name).inserted {
                errors.append(.about(position, "Duplicate user \(goQuoted(name)) detected"))
            }
        }
    }

    // MARK: Users

    mutating func readUsers(_ list: ConfigurationValue) throws(ConfigurationError) -> [UserOptions] {
        guard case .array(let entries) = list.kind else {
            throw .about(list.position, "Expected users field to be an array, got \(list.shown)")
        }
        var users: [UserOptions] = []
        for entry in entries {
            guard case .map(let fields) = entry.kind else {
                errors.append(.about(entry.position, "Expected user entry to be a map/struct, got \(entry.shown)"))
                continue
            }
            var user = UserOptions()
            for (key, value) in fields.entries {
                do throws(ConfigurationError) {
                    try readUserField(key, value, into: &user)
                } catch {
                    errors.append(error)
                }
            }
            if let nkey = user.nkey {
                if !PublicNkey.isValid(nkey, kind: .user) { throw .about(entry.position, "Not a valid public nkey for a user") }
                if user.name != nil || user.password != nil {
                    throw .about(entry.position, "Nkey users do not take usernames or passwords")
                }
            } else if user.name == nil {
                throw .about(entry.position, "User entry requires a user")
            }
            users.append(user)
        }
        return users
    }

    private mutating func readUserField(
        _ key: String, _ value: ConfigurationValue, into user: inout UserOptions
    ) throws(ConfigurationError) {
        switch key.lowercased() {
        case "nkey": user.nkey = try value.path()
        case "user", "username": user.name = try value.path()
        case "pass", "password": user.password = try value.path()
        case "permission", "permissions", "authorization": user.permissions = try readPermissions(value)
        case "allowed_connection_types", "connection_types", "clients":
            user.allowedConnectionTypes = try readConnectionTypes(value)
        case let name where UnsupportedKeys.user.contains(name):
            if try value.bool() { throw unsupported(key, value) }
        default:
            if !value.isUsedVariable { throw .about(value.position, "unknown field \(goQuoted(key))") }
        }
    }

    private static let connectionTypes: Set<String> = [
        "STANDARD", "WEBSOCKET", "LEAFNODE", "LEAFNODE_WS", "MQTT", "MQTT_WS", "IN_PROCESS",
    ]

    private func readConnectionTypes(_ value: ConfigurationValue) throws(ConfigurationError) -> [String] {
        let names: [String]
        switch value.kind {
        case .string(let name): names = [name]
        case .array(let values):
            var texts: [String] = []
            for value in values {
                guard case .string(let text) = value.kind else {
                    throw .about(
                        value.position, "error parsing allowed connection types: unsupported type in array \(value.goTypeName)")
                }
                texts.append(text)
            }
            names = texts
        default: throw .about(value.position, "error parsing allowed connection types: unsupported type \(value.goTypeName)")
        }
        let types = names.map { $0.uppercased() }
        let invalid = types.filter { !Self.connectionTypes.contains($0) }
        if !invalid.isEmpty {
            let list = invalid.map(goQuoted).joined(separator: " ")
            throw .about(value.position, "invalid connection types [\(list)]")
        }
        return types
    }

    // MARK: Permissions

    mutating func readPermissions(_ block: ConfigurationValue) throws(ConfigurationError) -> PermissionOptions {
        guard case .map(let map) = block.kind else {
            throw .about(block.position, "Expected permissions to be a map/struct, got \(block.shown)")
        }
        var permissions = PermissionOptions()
        for (key, value) in map.entries {
            do throws(ConfigurationError) {
                switch key.lowercased() {
                case "pub", "publish", "import":
                    permissions.publish = try readSubjects(value, queuesAllowed: false)
                case "sub", "subscribe", "export":
                    permissions.subscribe = try readSubjects(value, queuesAllowed: true)
                case "publish_allow_responses", "allow_responses":
                    permissions.allowResponses = try readAllowResponses(value)
                default:
                    if !value.isUsedVariable {
                        throw .about(value.position, "Unknown field \(goQuoted(key)) parsing permissions")
                    }
                }
            } catch {
                errors.append(error)
            }
        }
        // Whoever may only respond may publish nothing else, unless a list says so.
        if permissions.allowResponses != nil, permissions.publish?.allow == nil {
            permissions.publish = permissions.publish ?? SubjectPermissionOptions()
            permissions.publish?.allow = []
        }
        return permissions
    }

    /// A subject, a list, or `{allow, deny}`. nil where nothing is restricted: nats-server takes an empty list for that.
    private mutating func readSubjects(
        _ value: ConfigurationValue, queuesAllowed: Bool
    ) throws(ConfigurationError) -> SubjectPermissionOptions? {
        var permission = SubjectPermissionOptions()
        guard case .map(let map) = value.kind else {
            let subjects = try readSubjectList(value, queuesAllowed: queuesAllowed)
            permission.allow = subjects.isEmpty ? nil : subjects
            return permission
        }
        if map.isEmpty { return nil }
        for (key, value) in map.entries {
            switch key.lowercased() {
            case "allow":
                let subjects = try readSubjectList(value, queuesAllowed: queuesAllowed)
                permission.allow = subjects.isEmpty ? nil : subjects
            case "deny": permission.deny = try readSubjectList(value, queuesAllowed: queuesAllowed)
            default:
                if !value.isUsedVariable {
                    errors.append(
                        .about(
                            value.position,
                            "Unknown field name \(goQuoted(key)) parsing subject permissions, only 'allow' or 'deny' are permitted"
                        ))
                }
            }
        }
        return permission
    }

    private func readSubjectList(_ value: ConfigurationValue, queuesAllowed: Bool) throws(ConfigurationError) -> [String] {
        var subjects: [String] = []
        switch value.kind {
        case .string(let subject): subjects = [subject]
        case .array(let values):
            for value in values {
                guard case .string(let subject) = value.kind else {
                    throw .about(value.position, "Subject in permissions array cannot be cast to string")
                }
                subjects.append(subject)
            }
        default:
            throw .about(
                value.position,
                "Expected subject permissions to be a subject, or array of subjects, got \(value.goTypeName)")
        }
        for subject in subjects where !SubjectPattern.isValid(subject) {
            let fields = subject.split { $0 == " " || $0 == "\t" }
            if queuesAllowed, fields.count == 2, SubjectPattern.isValid(String(fields[0])) { continue }
            throw .about(value.position, "subject \(goQuoted(subject)) is not a valid subject")
        }
        return subjects
    }

    private mutating func readAllowResponses(_ value: ConfigurationValue) throws(ConfigurationError)
        -> ResponsePermissionOptions?
    {
        var response = ResponsePermissionOptions()
        switch value.kind {
        case .bool(let flag): return flag ? response : nil
        case .map(let map):
            for (key, value) in map.entries {
                switch key.lowercased() {
                case "max", "max_msgs", "max_messages", "max_responses": response.max = try value.nonzero(response.max)
                case "expires", "expiration", "ttl":
                    guard case .string = value.kind else {
                        throw .about(value.position, "error parsing expires, not a duration string")
                    }
                    let milliseconds = try value.duration("expires").milliseconds
                    if milliseconds != 0 { response.expiresMs = milliseconds }
                default:
                    if !value.isUsedVariable {
                        errors.append(.about(value.position, "Unknown field \(goQuoted(key)) parsing permissions"))
                    }
                }
            }
            return response
        default:
            throw .about(value.position, "error parsing response permissions, expected a boolean or a map")
        }
    }
}

/// Whether a text is a subject that permissions may name: tokens between single dots, no white space, `>` last.
enum SubjectPattern {
    static func isValid(_ subject: String) -> Bool {
        let bytes = Array(subject.utf8)
        if bytes.isEmpty || bytes.contains(where: { $0 == 0x20 || (0x09...0x0D).contains($0) || $0 == 0 }) { return false }
        let tokens = bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        return tokens.enumerated().allSatisfy { index, token in
            !token.isEmpty && (!token.elementsEqual(">".utf8) || index == tokens.count - 1)
        }
    }
}

extension ConfigurationValue {
    /// A value as a message may show it. Blocks are named, not printed: they may hold passwords.
    var shown: String {
        switch kind {
        case .string(let text), .datetime(let text): text
        case .integer(let number): String(number)
        case .float(let number): String(number)
        case .bool(let flag): String(flag)
        case .array: "an array"
        case .map: "a map"
        }
    }
}
