// Reads the `jetstream` blocks of the server and of its accounts.

extension OptionsReader {
    mutating func readJetStream(_ block: ConfigurationValue) throws(ConfigurationError) {
        guard case .map(let map) = block.kind else {
            options.jetStream.isEnabled = try !block.asksForNoJetStream()
            return
        }
        options.jetStream.isEnabled = true
        for (key, value) in map.entries {
            do throws(ConfigurationError) {
                try readJetStreamField(key, value)
            } catch {
                errors.append(error)
            }
        }
    }

    private mutating func readJetStreamField(_ key: String, _ value: ConfigurationValue) throws(ConfigurationError) {
        switch key.lowercased() {
        case "enable", "enabled": options.jetStream.isEnabled = try value.bool()
        case "strict": options.jetStream.isStrict = try value.bool()
        case "store", "store_dir", "storedir":
            options.jetStream.storeDirectory = try value.path() ?? options.jetStream.storeDirectory
        case "max_memory_store", "max_mem_store", "max_mem": options.jetStream.maxMemoryBytes = try value.storageSize(key)
        case "max_file_store", "max_file": options.jetStream.maxFileBytes = try value.storageSize(key)
        case "domain":
            let name = try value.string()
            if name.contains(where: { ".*> \t".contains($0) }) {
                throw .about(value.position, "invalid domain name: may not contain ., * or >")
            }
            options.jetStream.domain = name.isEmpty ? nil : name
        case "sync", "sync_interval": options.jetStream.sync = try syncInterval(key, value)
        case "limits": try readJetStreamLimits(value)
        case "request_queue_limit": options.jetStream.requestQueueLimit = max(1, try value.nonzero(10_000))
        // How nats-server shares out its own work; here loops and commits do that.
        case "info_queue_limit", "max_concurrent_io", "max_outstanding_catchup", "max_buffered_msgs", "max_buffered_size":
            return
        case "unique_tag", "extension_hint", "key", "ek", "encryption_key", "cipher", "prev_key", "prev_ek",
            "prev_encryption_key", "tpm":
            if !value.asksForNothing(except: key) { throw unsupported(key, value) }
        default:
            if !value.isUsedVariable { throw .about(value.position, "unknown field \(goQuoted(key))") }
        }
    }

    private func syncInterval(_ key: String, _ value: ConfigurationValue) throws(ConfigurationError) -> JetStreamOptions.Sync {
        guard case .string(let text) = value.kind else {
            // nats-server takes a plain number for seconds.
            let (product, overflow) = try value.integer().multipliedReportingOverflow(by: 1_000_000_000)
            if overflow || product <= 0 { throw .about(value.position, "\(key) needs to be positive") }
            return .every(ns: product)
        }
        switch text.lowercased() {
        case "always": return .always
        case "never": return .never
        default:
            let length = try value.duration(key).nanoseconds
            if length <= 0 { throw .about(value.position, "\(key) needs to be positive, \"always\" or \"never\"") }
            return .every(ns: length)
        }
    }

    private mutating func readJetStreamLimits(_ block: ConfigurationValue) throws(ConfigurationError) {
        for (key, value) in try block.map().entries {
            switch key.lowercased() {
            case "max_ack_pending": options.jetStream.maxAckPending = try value.integer()
            case "max_request_batch": options.jetStream.maxRequestBatch = try value.integer()
            case "default_max_consumers": options.jetStream.defaultMaxConsumers = try value.integer()
            case "duplicate_window": options.jetStream.duplicateWindowMaxNs = try value.duration(key).nanoseconds
            // Of clusters.
            case "max_ha_assets": _ = try value.integer()
            default:
                if !value.isUsedVariable { errors.append(unsupported(key, value)) }
            }
        }
    }

    /// The `jetstream` block of an account; nil: it has none.
    mutating func readAccountJetStream(_ block: ConfigurationValue) throws(ConfigurationError) -> AccountJetStreamOptions? {
        guard case .map(let map) = block.kind else {
            return try block.asksForNoJetStream() ? nil : AccountJetStreamOptions()
        }
        var limits = AccountJetStreamOptions()
        for (key, value) in map.entries {
            switch key.lowercased() {
            case "enable", "enabled": if try !value.bool() { return nil }
            case "max_memory", "max_mem", "mem", "memory": limits.maxMemoryBytes = try value.storageSize(key)
            case "max_store", "max_file", "max_disk", "store", "disk": limits.maxFileBytes = try value.storageSize(key)
            case "max_streams", "streams": limits.maxStreams = try value.integer()
            case "max_consumers", "consumers": limits.maxConsumers = try value.integer()
            case "max_bytes_required", "max_stream_bytes", "max_bytes": limits.maxBytesRequired = try value.bool()
            case "mem_max_stream_bytes", "memory_max_stream_bytes": limits.memoryStreamBytesMax = try value.storageSize(key)
            case "disk_max_stream_bytes", "store_max_stream_bytes": limits.fileStreamBytesMax = try value.storageSize(key)
            case "max_ack_pending": limits.maxAckPending = try value.integer()
            // Of clusters.
            case "cluster_traffic": _ = try value.string()
            default:
                if !value.isUsedVariable { errors.append(.about(value.position, "unknown field \(goQuoted(key))")) }
            }
        }
        return limits
    }
}

extension ConfigurationValue {
    /// Bytes: a number, or a text with K, M, G or T (powers of 1,024) at its end; -1 is unlimited.
    func storageSize(_ key: String) throws(ConfigurationError) -> Int {
        guard case .string(let text) = kind else { return try integer() }
        if text.isEmpty { return 0 }
        let units: [Character: Int] = ["K": 10, "M": 20, "G": 30, "T": 40]
        guard let last = text.last, let shift = units[last], let number = Int(text.dropLast()), number >= 0,
            number <= Int.max >> shift
        else { throw .about(position, "\(key) must be a number of bytes, with K, M, G or T at its end if need be") }
        return number << shift
    }
}
