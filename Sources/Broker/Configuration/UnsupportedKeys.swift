// The configuration keys that nats-server 2.15 knows and Bellhop does not do yet. They are refused by name, so that
// nobody runs without the encryption or the cluster that the file asks for.

enum UnsupportedKeys {
    static let topLevel: Set<String> = [
        "mappings", "maps", "cluster", "gateway", "leaf", "leafnodes", "prof_port", "tls", "ocsp",
        "ocsp_cache", "operator", "operators", "roots", "root", "root_operators", "root_operator", "resolver",
        "account_resolver", "accounts_resolver", "resolver_tls", "resolver_preload", "resolver_pinned_accounts", "trusted",
        "trusted_keys", "websocket", "ws", "mqtt", "server_tags", "server_metadata", "default_js_domain",
        "default_sentinel", "proxies", "proxy_protocol", "feature_flags",
    ]

    static let authorization: Set<String> = ["auth_callout", "proxy_required"]
    static let user: Set<String> = ["proxy_required"]
    static let account: Set<String> = [
        "imports", "exports", "mappings", "maps", "msg_trace", "trace_dest", "trace", "cluster_traffic",
    ]
}

extension ConfigurationValue {
    /// An empty block or list, `false` or 0 turns nothing on. An empty `tls` block would: it asks for encryption.
    func asksForNothing(except key: String) -> Bool {
        switch kind {
        case .map(let map): map.isEmpty && key != "tls" && key != "resolver_tls"
        case .array(let values): values.isEmpty
        case .bool(let flag): !flag
        case .integer(let number): number == 0
        case .string(let text): text.isEmpty
        case .float, .datetime: false
        }
    }

    /// `jetstream` as written for the server or an account: false, "disabled", or a block with `enabled: false`.
    func asksForNoJetStream() throws(ConfigurationError) -> Bool {
        switch kind {
        case .bool(let flag): return !flag
        case .string(let text):
            switch text.lowercased() {
            case "enabled", "enable": return false
            case "disabled", "disable": return true
            default:
                throw .about(position, "Expected 'enabled' or 'disabled' for string value, got '\(text)'")
            }
        case .map(let map):
            for (key, value) in map.entries where ["enable", "enabled"].contains(key.lowercased()) {
                return try !value.bool()
            }
            return false
        default: throw .about(position, "Expected map, bool or string to define JetStream, got \(goTypeName)")
        }
    }
}
