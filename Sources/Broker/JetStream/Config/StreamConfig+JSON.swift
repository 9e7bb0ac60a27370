// A stream's configuration as JSON: reading it from requests and writing it in JetStream's order.

import Wire

extension StreamConfig: JSONReadable {
    static let goName = "StreamConfig"

    mutating func read(_ name: String, _ field: JSONField) throws(APIError) -> Bool {
        switch name {
        case "name": try field.read(&self.name)
        case "description": try field.read(&description)
        case "subjects": try field.read(&subjects)
        case "retention": try field.readName(&retention)
        case "max_consumers": try field.read(&maxConsumers)
        case "max_msgs": try field.read(&maxMessages)
        case "max_bytes": try field.read(&maxBytes)
        case "max_age": try field.readDuration(&maxAgeNs)
        case "max_msgs_per_subject": try field.read(&maxMessagesPerSubject)
        case "max_msg_size": try field.read(&maxMessageBytes)
        case "discard": try field.readName(&discard)
        case "storage": try field.readName(&storage)
        case "num_replicas": try field.read(&replicas)
        case "no_ack": try field.read(&noAck)
        case "duplicate_window": try field.readDuration(&duplicateWindowNs)
        case "placement": try field.read(&placement)
        case "mirror": try field.read(&mirror)
        case "sources": try field.read(&sources)
        case "compression": try field.read(&compression)
        case "first_seq": try field.read(&firstSequence)
        case "subject_transform": try field.read(&subjectTransform)
        case "republish": try field.read(&republish)
        default: return try readFlag(name, field)
        }
        return true
    }

    private mutating func readFlag(_ name: String, _ field: JSONField) throws(APIError) -> Bool {
        switch name {
        case "allow_direct": try field.read(&allowDirect)
        case "mirror_direct": try field.read(&mirrorDirect)
        case "discard_new_per_subject": try field.read(&discardNewPerSubject)
        case "sealed": try field.read(&sealed)
        case "deny_delete": try field.read(&denyDelete)
        case "deny_purge": try field.read(&denyPurge)
        case "allow_rollup_hdrs": try field.read(&allowRollup)
        case "consumer_limits": try field.read(&consumerLimits)
        case "allow_msg_ttl": try field.read(&allowMessageTTL)
        case "subject_delete_marker_ttl": try field.readDuration(&subjectDeleteMarkerTTLNs)
        case "allow_msg_counter": try field.read(&allowMessageCounter)
        case "allow_atomic": try field.read(&allowAtomicPublish)
        case "allow_msg_schedules": try field.read(&allowMessageSchedules)
        case "persist_mode":
            // The empty name is the default's, too.
            if field.value.string == "" { persistMode = .default } else { try field.readName(&persistMode) }
        case "allow_batched": try field.read(&allowBatchPublish)
        case "metadata": try field.read(&metadata)
        default: return false
        }
        return true
    }

    func write(to json: inout JSONWriter) {
        json.beginObject()
        json.member("name", name)
        json.optional("description", description)
        json.optional("subjects", subjects)
        json.member("retention", retention.rawValue)
        json.member("max_consumers", maxConsumers)
        json.member("max_msgs", maxMessages)
        json.member("max_bytes", maxBytes)
        json.member("max_age", maxAgeNs)
        json.member("max_msgs_per_subject", maxMessagesPerSubject)
        json.optional("max_msg_size", Int64(maxMessageBytes))
        json.member("discard", discard.rawValue)
        json.member("storage", storage.rawValue)
        json.member("num_replicas", replicas)
        json.optional("no_ack", noAck)
        json.optional("duplicate_window", duplicateWindowNs)
        if let placement {
            json.name("placement")
            placement.write(to: &json)
        }
        if let mirror {
            json.name("mirror")
            mirror.write(to: &json)
        }
        json.optional("sources", sources) { $1.write(to: &$0) }
        json.member("compression", compression.rawValue)
        json.optional("first_seq", firstSequence)
        if let subjectTransform {
            json.name("subject_transform")
            subjectTransform.write(to: &json)
        }
        if let republish {
            json.name("republish")
            republish.write(to: &json)
        }
        json.member("allow_direct", allowDirect)
        json.member("mirror_direct", mirrorDirect)
        json.optional("discard_new_per_subject", discardNewPerSubject)
        json.member("sealed", sealed)
        json.member("deny_delete", denyDelete)
        json.member("deny_purge", denyPurge)
        json.member("allow_rollup_hdrs", allowRollup)
        json.name("consumer_limits")
        consumerLimits.write(to: &json)
        json.member("allow_msg_ttl", allowMessageTTL)
        json.optional("subject_delete_marker_ttl", subjectDeleteMarkerTTLNs)
        json.optional("allow_msg_counter", allowMessageCounter)
        json.optional("allow_atomic", allowAtomicPublish)
        json.optional("allow_msg_schedules", allowMessageSchedules)
        if persistMode != .default { json.member("persist_mode", persistMode.rawValue) }
        json.optional("allow_batched", allowBatchPublish)
        json.optional("metadata", metadata)
        json.endObject()
    }
}

extension PlacementConfig: JSONReadable {
    static let goName = "Placement"

    mutating func read(_ name: String, _ field: JSONField) throws(APIError) -> Bool {
        switch name {
        case "cluster": try field.read(&cluster)
        case "tags": try field.read(&tags)
        case "preferred": try field.read(&preferred)
        default: return false
        }
        return true
    }

    func write(to json: inout JSONWriter) {
        json.beginObject()
        json.optional("cluster", cluster)
        json.optional("tags", tags)
        json.optional("preferred", preferred)
        json.endObject()
    }
}

extension StreamSourceConfig: JSONReadable {
    static let goName = "StreamSource"

    mutating func read(_ name: String, _ field: JSONField) throws(APIError) -> Bool {
        switch name {
        case "name": try field.read(&self.name)
        case "opt_start_seq": try field.read(&startSequence)
        case "opt_start_time": try field.readTime(&startTimeNs)
        case "filter_subject": try field.read(&filterSubject)
        case "subject_transforms": try field.read(&subjectTransforms)
        case "external": try field.read(&external)
        case "consumer": try field.read(&consumer)
        default: return false
        }
        return true
    }

    func write(to json: inout JSONWriter) {
        json.beginObject()
        json.member("name", name)
        json.optional("opt_start_seq", startSequence)
        if let startTimeNs { json.time("opt_start_time", startTimeNs) }
        json.optional("filter_subject", filterSubject)
        json.optional("subject_transforms", subjectTransforms) { $1.write(to: &$0) }
        if let external {
            json.name("external")
            external.write(to: &json)
        }
        if let consumer {
            json.name("consumer")
            json.beginObject()
            json.optional("name", consumer.name)
            json.optional("deliver_subject", consumer.deliverSubject)
            json.endObject()
        }
        json.endObject()
    }
}

extension ExternalStreamConfig: JSONReadable {
    static let goName = "ExternalStream"

    mutating func read(_ name: String, _ field: JSONField) throws(APIError) -> Bool {
        switch name {
        case "api": try field.read(&apiPrefix)
        case "deliver": try field.read(&deliverPrefix)
        default: return false
        }
        return true
    }

    func write(to json: inout JSONWriter) {
        json.beginObject()
        json.member("api", apiPrefix)
        json.member("deliver", deliverPrefix)
        json.endObject()
    }
}

extension StreamConsumerSourceConfig: JSONReadable {
    static let goName = "StreamConsumerSource"

    mutating func read(_ name: String, _ field: JSONField) throws(APIError) -> Bool {
        switch name {
        case "name": try field.read(&self.name)
        case "deliver_subject": try field.read(&deliverSubject)
        default: return false
        }
        return true
    }
}

extension SubjectTransformConfig: JSONReadable {
    static let goName = "SubjectTransformConfig"

    mutating func read(_ name: String, _ field: JSONField) throws(APIError) -> Bool {
        switch name {
        case "src": try field.read(&source)
        case "dest": try field.read(&destination)
        default: return false
        }
        return true
    }

    func write(to json: inout JSONWriter) {
        json.beginObject()
        json.member("src", source)
        json.member("dest", destination)
        json.endObject()
    }
}

extension RepublishConfig: JSONReadable {
    static let goName = "RePublish"

    mutating func read(_ name: String, _ field: JSONField) throws(APIError) -> Bool {
        switch name {
        case "src": try field.read(&source)
        case "dest": try field.read(&destination)
        case "headers_only": try field.read(&headersOnly)
        default: return false
        }
        return true
    }

    func write(to json: inout JSONWriter) {
        json.beginObject()
        json.optional("src", source)
        json.member("dest", destination)
        json.optional("headers_only", headersOnly)
        json.endObject()
    }
}

extension ConsumerLimitsConfig: JSONReadable {
    static let goName = "StreamConsumerLimits"

    mutating func read(_ name: String, _ field: JSONField) throws(APIError) -> Bool {
        switch name {
        case "inactive_threshold": try field.readDuration(&inactiveThresholdNs)
        case "max_ack_pending": try field.read(&maxAckPending)
        default: return false
        }
        return true
    }

    func write(to json: inout JSONWriter) {
        json.beginObject()
        json.optional("inactive_threshold", inactiveThresholdNs)
        json.optional("max_ack_pending", maxAckPending)
        json.endObject()
    }
}
