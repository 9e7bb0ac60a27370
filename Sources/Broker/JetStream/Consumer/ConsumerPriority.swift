// Priority groups: which of the waiting requests may have the next message (ADR-42).

import Wire

/// The one client that a `pinned_client` consumer serves. Nobody while `id` is empty.
struct PinnedClient {
    var id = ""
    var group = ""
    var sinceNs: Int64 = 0
    var endsNs: UInt64 = .max
}

extension Consumer {
    /// Whether a request may wait: one with another client's pin may not. The pinned client's own extends its pin.
    func admitPin(_ request: PullRequest, _ now: Instant) -> Bool {
        guard !pin.id.isEmpty else { return true }
        if request.id == pin.id {
            pin.endsNs = saturatingSum(now.monotonicNs, settings.pinNs)
            return true
        }
        return request.id.isEmpty
    }

    /// `overflow` and `pinned_client`: passes over requests whose condition is not met.
    func chooseByPolicy(bytes: Int, _ now: Instant) -> WaitingRequests.Slot {
        var slot = requests.head
        var passed = 0
        while slot != WaitingRequests.none && passed < requests.count {
            if requests[slot].expiresNs <= now.monotonicNs {
                end(slot, ConsumerStatus.timeout(requests[slot]))
                return WaitingRequests.again
            }
            var claims = false
            if settings.priority == .pinnedClient {
                let id = requests[slot].pinID
                if pin.id.isEmpty ? !id.isEmpty : !id.isEmpty && id != pin.id {
                    end(slot, ConsumerStatus.wrongPin(requests[slot]))
                    return WaitingRequests.again
                }
                claims = pin.id.isEmpty
                if !claims && id.isEmpty {
                    requests.moveToEnd(slot)
                    passed += 1
                    slot = requests.head
                    continue
                }
            } else if !meetsOverflow(requests[slot]) {
                requests.moveToEnd(slot)
                passed += 1
                slot = requests.head
                continue
            }
            guard accepts(slot, bytes: bytes, now) else { return WaitingRequests.again }
            guard stream.host.hasInterest(requests[slot].target) else {
                requests.remove(slot)
                return WaitingRequests.again
            }
            if claims && !requests[slot].group.isEmpty {
                assignPin(slot, now)
                return WaitingRequests.again
            }
            return slot
        }
        return WaitingRequests.none
    }

    /// Either condition is enough; a request without any gets every message.
    private func meetsOverflow(_ request: WaitingRequest) -> Bool {
        if request.minPending <= 0 && request.minAckPending <= 0 { return true }
        if request.minPending > 0 && UInt64(request.minPending) <= numPending { return true }
        return request.minAckPending > 0 && request.minAckPending <= Int64(ackPendingCount)
    }

    private func assignPin(_ slot: WaitingRequests.Slot, _ now: Instant) {
        pin = PinnedClient(
            id: uniqueID(), group: requests[slot].group, sinceNs: now.wallNs,
            endsNs: saturatingSum(now.monotonicNs, settings.pinNs))
        requests.at(slot).pointee.pinID = pin.id
        advise(.pinned(group: pin.group, id: pin.id))
    }

    /// CONSUMER.UNPIN. False: the consumer has no such group.
    func unpin(group: String) -> Bool {
        guard config.priorityGroups.contains(group) else { return false }
        losePin("admin", group: group)
        return true
    }

    /// The next request that holds no pin gets one.
    func losePin(_ reason: String, group: String) {
        pin = PinnedClient()
        advise(.unpinned(group: group, reason: reason))
        touch()
    }

    /// 22 characters, as unlikely to come again as NATS's own.
    func uniqueID() -> String {
        let host = stream.host
        return String(decoding: randomText(22, host), as: UTF8.self)
    }
}

/// Letters and digits out of the host's random bits.
func randomText(_ count: Int, _ host: any StreamHost) -> [UInt8] {
    let alphabet: StaticString = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    var text: [UInt8] = []
    var bits: UInt64 = 0
    for place in 0..<count {
        if place % 10 == 0 { bits = host.random() }
        text.append(alphabet.utf8Start[Int(bits % 62)])
        bits /= 62
    }
    return text
}
