// Reads the `accounts` block: each account's users, limits and default permissions.

extension OptionsReader {
    mutating func readAccounts(_ block: ConfigurationValue) throws(ConfigurationError) {
        switch block.kind {
        case .array(let names):
            for name in names {
                do throws(ConfigurationError) {
                    try addAccount(named: try name.string(), at: name.position)
                } catch {
                    errors.append(error)
                }
            }
        case .map(let map):
            for (name, value) in map.entries where !value.isUsedVariable {
                do throws(ConfigurationError) {
                    try readAccount(name, value)
                } catch {
                    errors.append(error)
                }
            }
        default:
            // nats-server ignores any other type; nobody who writes one gets what they meant.
            throw .about(block.position, "Expected accounts to be a map or an array, got \(block.goTypeName)")
        }
    }

    private mutating func addAccount(named name: String, at position: ConfigurationPosition) throws(ConfigurationError) {
        if name == "$G" { throw .about(position, "\(goQuoted(name)) is a Reserved Account") }
        if accountIndexes[name] != nil { throw .about(position, "Duplicate Account Entry: \(name)") }
        accountIndexes[name] = options.accounts.count
        options.accounts.append(AccountOptions(name: name))
    }

    private mutating func readAccount(_ name: String, _ block: ConfigurationValue) throws(ConfigurationError) {
        guard case .map(let map) = block.kind else {
            throw .about(block.position, "Expected map entries for accounts")
        }
        if name == "$G" { throw .about(block.position, "\(goQuoted(name)) is a Reserved Account") }
        var account = AccountOptions(name: name)
        for (key, value) in map.entries {
            do throws(ConfigurationError) {
                try readAccountField(key, value, into: &account)
            } catch {
                errors.append(error)
            }
        }
        applyDefaults(account.defaultPermissions, to: &account.users)
        if let index = accountIndexes[name] {
            options.accounts[index] = account
        } else {
            accountIndexes[name] = options.accounts.count
            options.accounts.append(account)
        }
    }

    private mutating func readAccountField(
        _ key: String, _ value: ConfigurationValue, into account: inout AccountOptions
    ) throws(ConfigurationError) {
        switch key.lowercased() {
        case "nkey":
            guard case .string(let nkey) = value.kind, PublicNkey.isValid(nkey, kind: .account) else {
                throw .about(value.position, "Not a valid public nkey for an account: \(goQuoted(value.shown))")
            }
            account.nkey = nkey
        case "users":
            account.users = try readUsers(value)
            rejectDuplicates(account.users, at: value.position)
            if !account.users.isEmpty, firstAccountUsers == nil { firstAccountUsers = value.position }
        case "default_permissions": account.defaultPermissions = try readPermissions(value)
        case "limits": try readLimits(value, into: &account)
        case "jetstream":
            account.jetStream = try readAccountJetStream(value)
        case let name where UnsupportedKeys.account.contains(name):
            if !value.asksForNothing(except: name) { throw unsupported(key, value) }
        default:
            if !value.isUsedVariable { throw .about(value.position, "unknown field \(goQuoted(key))") }
        }
    }

    private mutating func readLimits(
        _ block: ConfigurationValue, into account: inout AccountOptions
    ) throws(ConfigurationError) {
        guard case .map(let map) = block.kind else {
            throw .about(block.position, "Expected account limits to be a map/struct, got \(block.shown)")
        }
        for (key, value) in map.entries {
            switch key.lowercased() {
            case "max_connections", "max_conn": account.maxConnections = try value.integer()
            case "max_subscriptions", "max_subs": account.maxSubscriptions = try value.integer()
            case "max_payload", "max_pay": account.maxPayloadBytes = try value.integer()
            // There are no leaf nodes to limit.
            case "max_leafnodes", "max_leafs": _ = try value.integer()
            default:
                if !value.isUsedVariable {
                    errors.append(.about(value.position, "Unknown field \(goQuoted(key)) parsing account limits"))
                }
            }
        }
    }

    /// A single user or a token belongs to a broker without account users.
    mutating func checkSingleUserAgainstAccounts() {
        guard let position = firstAccountUsers else { return }
        if options.authorization.user != nil {
            errors.append(.about(position, "Can not have a single user/pass and accounts"))
        } else if options.authorization.token != nil {
            errors.append(.about(position, "Can not have a token and a users array"))
        }
    }
}

/// Public nkeys: 35 bytes in base32 (a prefix that names the kind, 32 bytes of Ed25519, a CRC-16), which read as a
/// letter for the kind and 55 more characters. Source followed: nkeys' `strkey.go`.
enum PublicNkey {
    enum Kind: UInt8 {
        case account = 0
        case user = 160
    }

    static func isValid(_ text: String, kind: Kind) -> Bool {
        guard let bytes = base32(text), bytes.count == 35, bytes[0] == kind.rawValue else { return false }
        let checksum = UInt16(bytes[33]) | UInt16(bytes[34]) << 8
        return crc16(bytes[..<33]) == checksum
    }

    /// RFC 4648, upper case, without padding.
    private static func base32(_ text: String) -> [UInt8]? {
        var bytes: [UInt8] = []
        var buffer: UInt16 = 0
        var bits = 0
        for character in text.utf8 {
            let value: UInt8
            switch character {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = character - UInt8(ascii: "A")
            case UInt8(ascii: "2")...UInt8(ascii: "7"): value = character - UInt8(ascii: "2") + 26
            default: return nil
            }
            buffer = (buffer << 5) | UInt16(value)
            bits += 5
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: buffer >> UInt16(bits)))
                buffer &= (1 << UInt16(bits)) - 1
            }
        }
        return bytes
    }

    /// CRC-16/XMODEM: polynomial 0x1021, from zero.
    private static func crc16(_ bytes: ArraySlice<UInt8>) -> UInt16 {
        var crc: UInt16 = 0
        for byte in bytes {
            crc ^= UInt16(byte) << 8
            for _ in 0..<8 { crc = crc & 0x8000 != 0 ? (crc << 1) ^ 0x1021 : crc << 1 }
        }
        return crc
    }
}
