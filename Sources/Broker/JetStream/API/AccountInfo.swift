// What JetStream tells about an account: usage and limits, and their JSON.

import Wire

/// The `account_info_response`'s object.
struct AccountInfo: Sendable {
    var usage = AccountTier()
    var domain = ""
    var apiLevel = APIMetadata.level
    var apiTotal: UInt64 = 0
    var apiErrors: UInt64 = 0
    var apiInflight: UInt64 = 0
    /// By name (`R1`), where the account's limits are tiered; the usage is then their sum.
    var tiers: [(name: String, tier: AccountTier)] = []

    func writeMembers(to json: inout JSONWriter) {
        usage.writeMembers(to: &json)
        json.optional("domain", domain)
        json.name("api")
        json.beginObject()
        json.member("level", apiLevel)
        json.member("total", apiTotal)
        json.member("errors", apiErrors)
        json.optional("inflight", apiInflight)
        json.endObject()
        if !tiers.isEmpty {
            json.name("tiers")
            json.beginObject()
            for (name, tier) in tiers {
                json.name(name)
                json.beginObject()
                tier.writeMembers(to: &json)
                json.endObject()
            }
            json.endObject()
        }
    }
}

struct AccountTier: Sendable {
    var memory: UInt64 = 0
    var storage: UInt64 = 0
    var reservedMemory: UInt64 = 0
    var reservedStorage: UInt64 = 0
    var streams = 0
    var consumers = 0
    var limits = JetStreamAccountLimits()

    func writeMembers(to json: inout JSONWriter) {
        json.member("memory", memory)
        json.member("storage", storage)
        json.member("reserved_memory", reservedMemory)
        json.member("reserved_storage", reservedStorage)
        json.member("streams", streams)
        json.member("consumers", consumers)
        json.name("limits")
        limits.write(to: &json)
    }
}

extension JetStreamAccountLimits {
    func write(to json: inout JSONWriter) {
        json.beginObject()
        json.member("max_memory", maxMemoryBytes)
        json.member("max_storage", maxStorageBytes)
        json.member("max_streams", maxStreams)
        json.member("max_consumers", maxConsumers)
        json.member("max_ack_pending", maxAckPending)
        json.member("memory_max_stream_bytes", memoryMaxStreamBytes)
        json.member("storage_max_stream_bytes", storageMaxStreamBytes)
        json.member("max_bytes_required", maxBytesRequired)
        json.endObject()
    }
}
