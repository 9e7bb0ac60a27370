// A consumer's configuration as JSON: reading it from requests and writing it in JetStream's order.

import Wire

extension ConsumerConfig: JSONReadable {
    static let goName = "ConsumerConfig"

    mutating func read(_ name: String, _ field: JSONField) throws(APIError) -> Bool {
        switch name {
        case "durable_name": try field.read(&durable)
        case "name": try field.read(&self.name)
        case "description": try field.read(&description)
        case "deliver_policy":
            // Go's text of an unknown policy, which nats-server takes for the first one.
            if field.value.string == "undefined" { deliverPolicy = .all } else { try field.readName(&deliverPolicy) }
        case "opt_start_seq": try field.read(&startSequence)
        case "opt_start_time": try field.readTime(&startTimeNs)
        case "ack_policy": try field.readName(&ackPolicy)
        case "ack_wait": try field.readDuration(&ackWaitNs)
        case "max_deliver": try field.read(&maxDeliver)
        case "backoff": try field.readDurations(&backoffNs)
        case "filter_subject": try field.read(&filterSubject)
        case "filter_subjects": try field.read(&filterSubjects)
        case "replay_policy": try field.readName(&replayPolicy)
        case "rate_limit_bps": try field.read(&rateLimitBitsPerSecond)
        case "sample_freq": try field.read(&sampleFrequency)
        case "max_waiting": try field.read(&maxWaiting)
        case "max_ack_pending": try field.read(&maxAckPending)
        case "flow_control": try field.read(&flowControl)
        case "headers_only": try field.read(&headersOnly)
        default: return try readRest(name, field)
        }
        return true
    }

    private mutating func readRest(_ name: String, _ field: JSONField) throws(APIError) -> Bool {
        switch name {
        case "max_batch": try field.read(&maxRequestBatch)
        case "max_expires": try field.readDuration(&maxRequestExpiresNs)
        case "max_bytes": try field.read(&maxRequestMaxBytes)
        case "deliver_subject": try field.read(&deliverSubject)
        case "deliver_group": try field.read(&deliverGroup)
        case "idle_heartbeat": try field.readDuration(&heartbeatNs)
        case "inactive_threshold": try field.readDuration(&inactiveThresholdNs)
        case "num_replicas": try field.read(&replicas)
        case "mem_storage": try field.read(&memoryStorage)
        case "direct": try field.read(&direct)
        case "sourcing": try field.read(&sourcing)
        case "metadata": try field.read(&metadata)
        case "pause_until": try field.readTime(&pauseUntilNs)
        case "priority_groups": try field.read(&priorityGroups)
        case "priority_policy": try field.readName(&priorityPolicy, "priority policy")
        case "priority_timeout": try field.readDuration(&priorityTimeoutNs)
        default: return false
        }
        return true
    }

    func write(to json: inout JSONWriter) {
        json.beginObject()
        json.optional("durable_name", durable)
        json.optional("name", name)
        json.optional("description", description)
        json.member("deliver_policy", deliverPolicy.rawValue)
        json.optional("opt_start_seq", startSequence)
        if let startTimeNs { json.time("opt_start_time", startTimeNs) }
        json.member("ack_policy", ackPolicy.rawValue)
        json.optional("ack_wait", ackWaitNs)
        json.optional("max_deliver", maxDeliver)
        json.optional("backoff", backoffNs) { $0.value($1) }
        json.optional("filter_subject", filterSubject)
        json.optional("filter_subjects", filterSubjects)
        json.member("replay_policy", replayPolicy.rawValue)
        json.optional("rate_limit_bps", rateLimitBitsPerSecond)
        json.optional("sample_freq", sampleFrequency)
        json.optional("max_waiting", maxWaiting)
        json.optional("max_ack_pending", maxAckPending)
        json.optional("flow_control", flowControl)
        json.optional("headers_only", headersOnly)
        json.optional("max_batch", maxRequestBatch)
        json.optional("max_expires", maxRequestExpiresNs)
        json.optional("max_bytes", maxRequestMaxBytes)
        json.optional("deliver_subject", deliverSubject)
        json.optional("deliver_group", deliverGroup)
        json.optional("idle_heartbeat", heartbeatNs)
        json.optional("inactive_threshold", inactiveThresholdNs)
        json.member("num_replicas", replicas)
        json.optional("mem_storage", memoryStorage)
        json.optional("direct", direct)
        json.optional("sourcing", sourcing)
        json.optional("metadata", metadata)
        if let pauseUntilNs { json.time("pause_until", pauseUntilNs) }
        json.optional("priority_groups", priorityGroups)
        if priorityPolicy != .none { json.member("priority_policy", priorityPolicy.rawValue) }
        json.optional("priority_timeout", priorityTimeoutNs)
        json.endObject()
    }
}
