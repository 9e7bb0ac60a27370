// Pull requests: taken, served in turn, expired, and told why they end.

import Wire

extension WaitingRequests {
    /// Stands for "a status went out; look at the message again".
    static var again: Slot { none - 1 }
}

extension Consumer {
    /// CONSUMER.MSG.NEXT.
    ///
    /// - Parameter client: who sent it.
    func receive(next message: Message, from client: UInt64 = 0) {
        guard !isStopped else { return }
        let header = min(max(0, message.headerBytes), message.payload.count)
        if header > 0, settings.isPull,
            APIMetadata.isBeyond(PublishHeaders(ByteView(message.payload.base, header)).requiredAPILevel)
        {
            if !message.reply.isEmpty { send(ConsumerStatus.requiredAPILevel, to: message.reply) }
            return
        }
        pull(ByteView(message.payload.base + header, message.payload.count - header), reply: message.reply, from: client)
    }

    /// Takes a pull request; `+NXT` brings one too.
    func pull(_ body: ByteView, reply: ByteView, from client: UInt64 = 0) {
        guard !reply.isEmpty else { return }
        guard settings.isPull else { return send(ConsumerStatus.pushBased, to: reply) }
        let pull: PullBody
        do throws(PullRequest.Failure) {
            pull = try PullBody.read(body)
        } catch {
            return send(ConsumerStatus.badRequest(error.text), to: reply)
        }
        if let refusal = refusal(of: pull) { return send(refusal, to: reply) }
        let now = stream.host.now
        if settings.priority == .pinnedClient, !admitPin(pull.request, now) {
            return send(ConsumerStatus.pinMismatch, to: reply)
        }
        if requests.count >= settings.maxWaiting { dropRequestsWithoutInterest() }
        if pull.request.noWait, let status = noWaitRefusal(pull.request) {
            lastRequestNs = now.monotonicNs
            return send(status, to: reply)
        }
        guard requests.count < settings.maxWaiting else {
            // A client that expects heartbeats notices by their absence; told at once, it would only ask again at once.
            if pull.request.heartbeatNs == 0 { send(ConsumerStatus.maxWaiting, to: reply) }
            return
        }
        var request = waiting(pull, reply: reply, now)
        request.client = client
        if settings.priority == .prioritized { requests.insertByPriority(request) } else { requests.append(request) }
        lastRequestNs = now.monotonicNs
        touch()
    }

    private func waiting(_ pull: PullBody, reply: ByteView, _ now: Instant) -> WaitingRequest {
        let asked = pull.request
        var request = WaitingRequest(
            target: stream.host.target(reply.bytes, queue: []), batch: asked.messages, bytes: max(0, asked.maxBytes),
            expiresNs: asked.expiresNs > 0 ? saturatingSum(now.monotonicNs, UInt64(asked.expiresNs)) : .max)
        request.implied = asked.messages &- asked.batch
        request.noWait = asked.noWait
        if asked.heartbeatNs > 0 {
            request.heartbeatNs = UInt64(asked.heartbeatNs)
            request.heartbeatDueNs = saturatingSum(now.monotonicNs, request.heartbeatNs)
        }
        if pull.isJSON {
            request.priority = asked.priority
            request.minPending = asked.minPending
            request.minAckPending = asked.minAckPending
            request.group = asked.group
            request.pinID = asked.id
        }
        return request
    }

    /// Why a request is not even looked at.
    private func refusal(of pull: PullBody) -> [UInt8]? {
        let request = pull.request
        if request.heartbeatNs > 0 {
            let (twice, overflows) = request.heartbeatNs.multipliedReportingOverflow(by: 2)
            if overflows || twice > request.expiresNs { return ConsumerStatus.badRequest("heartbeat value too large") }
        }
        if config.maxRequestBatch > 0 && request.batch > config.maxRequestBatch {
            return ConsumerStatus.exceeded("MaxRequestBatch", "\(config.maxRequestBatch)")
        }
        if config.maxRequestExpiresNs > 0 && request.expiresNs > config.maxRequestExpiresNs {
            return ConsumerStatus.exceeded("MaxRequestExpires", GoDuration.text(config.maxRequestExpiresNs))
        }
        if config.maxRequestMaxBytes > 0 && request.maxBytes > config.maxRequestMaxBytes {
            return ConsumerStatus.exceeded("MaxRequestMaxBytes", "\(config.maxRequestMaxBytes)")
        }
        guard pull.isJSON else { return nil }
        if (request.minPending != 0 || request.minAckPending != 0) && settings.priority != .overflow {
            return ConsumerStatus.badRequest("Not a Overflow Priority consumer")
        }
        if !request.id.isEmpty && settings.priority != .pinnedClient {
            return ConsumerStatus.badRequest("Not a Pinned Client Priority consumer")
        }
        if request.priority < 0 || request.priority > 9 {
            return ConsumerStatus.badRequest("Priority must be between 0 and 9")
        }
        if settings.priority != .none {
            if request.group.isEmpty { return ConsumerStatus.badRequest("Priority Group missing") }
            if !config.priorityGroups.contains(request.group) { return ConsumerStatus.badRequest("Invalid Priority Group") }
        }
        return nil
    }

    /// Why a request that takes what is there, and waits for nothing, ends at once.
    private func noWaitRefusal(_ request: PullRequest) -> [UInt8]? {
        let available = numPending + UInt64(keyed?.redeliverable ?? state.pending.redeliveryCount)
        if available == 0 { return request.expiresNs == 0 ? ConsumerStatus.noMessages : nil }
        dropRequestsWithoutInterest()
        var wanted: UInt64 = 0
        forEachRequest { slot in wanted = saturatingSum(wanted, UInt64(requests[slot].batch)) }
        return available < wanted ? ConsumerStatus.requestsPending : nil
    }

    /// The request that gets a message of so many bytes. `again` where the message has to be loaded once more.
    @inline(__always)
    func chooseRequest(bytes: Int, _ now: Instant) -> WaitingRequests.Slot {
        if settings.priority != .none && settings.priority != .prioritized { return chooseByPolicy(bytes: bytes, now) }
        let slot = requests.head
        guard slot != WaitingRequests.none else { return slot }
        return accepts(slot, bytes: bytes, now) ? slot : WaitingRequests.again
    }

    /// Whether a request is still valid and the message fits; otherwise it has been told, and is gone.
    @inline(__always)
    func accepts(_ slot: WaitingRequests.Slot, bytes: Int, _ now: Instant) -> Bool {
        if requests[slot].expiresNs <= now.monotonicNs {
            end(slot, ConsumerStatus.timeout(requests[slot]))
            return false
        }
        if requests[slot].bytes > 0 && bytes > requests[slot].bytes {
            end(slot, ConsumerStatus.tooLarge(requests[slot]))
            return false
        }
        return true
    }

    /// A request has been given a message.
    @inline(__always)
    func serve(_ slot: WaitingRequests.Slot, bytes: Int, _ now: Instant) {
        requests.at(slot).pointee.batch &-= 1
        requests.at(slot).pointee.delivered &+= 1
        if requests[slot].bytes > 0 {
            requests.at(slot).pointee.bytes &-= bytes
            if requests[slot].bytes == 0 { requests.at(slot).pointee.batch = 0 }
        }
        lastRequestNs = now.monotonicNs
        if requests[slot].batch <= 0 {
            if requests[slot].bytes > 0 {
                end(slot, ConsumerStatus.batchCompleted(requests[slot]))
            } else {
                requests.remove(slot)
            }
            return
        }
        if requests[slot].heartbeatNs > 0 {
            requests.at(slot).pointee.heartbeatDueNs = saturatingSum(now.monotonicNs, requests[slot].heartbeatNs)
        }
        if settings.priority == .prioritized { requests.moveToEndOfPriority(slot) } else { requests.moveToEnd(slot) }
    }

    /// Tells a request why it ends.
    func end(_ slot: WaitingRequests.Slot, _ status: [UInt8]) {
        let target = requests[slot].target
        requests.remove(slot)
        send(status, to: target.subject)
    }

    /// Nothing is left to send: requests that do not wait have had what there was.
    func endNoWaitRequests() {
        forEachRequest { slot in
            if requests[slot].noWait && (requests[slot].expiresNs == .max || requests[slot].delivered > 0) {
                end(slot, ConsumerStatus.noMessages)
            }
        }
    }

    /// Requests whose time has come, or who are to hear from us.
    func expireRequests(_ now: Instant) {
        guard requests.dueNs <= now.monotonicNs else { return }
        forEachRequest { slot in
            if requests[slot].expiresNs <= now.monotonicNs {
                end(slot, ConsumerStatus.timeout(requests[slot]))
            } else if !stream.host.hasInterest(requests[slot].target) {
                requests.remove(slot)
            } else if requests[slot].heartbeatDueNs <= now.monotonicNs {
                requests.at(slot).pointee.heartbeatDueNs = saturatingSum(now.monotonicNs, requests[slot].heartbeatNs)
                sendHeartbeat(to: requests[slot].target.subject)
            }
        }
        requests.findDue()
    }

    private static let requestsLookedAtFreely = 512

    /// Requests whose inbox nobody listens to any more end in silence.
    func dropRequestsWithoutInterest() {
        let host = stream.host
        if requests.count > Consumer.requestsLookedAtFreely {
            // Very many cost a search each: once a turn is enough.
            if interestCheckedNs == host.now.monotonicNs { return }
            interestCheckedNs = host.now.monotonicNs
        }
        forEachRequest { slot in
            if !host.hasInterest(requests[slot].target) { requests.remove(slot) }
        }
    }

    /// The body may remove the request that it is called with.
    func forEachRequest(_ body: (WaitingRequests.Slot) -> Void) {
        var slot = requests.head
        while slot != WaitingRequests.none {
            let following = requests.next(slot)
            body(slot)
            slot = following
        }
    }
}
