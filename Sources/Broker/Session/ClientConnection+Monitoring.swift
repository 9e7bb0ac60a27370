// What others see of a client: the pages of the monitoring port, and the protocol trace in the log.

import Reactor
import Synchronization
import Wire

extension ClientConnection {
    /// Everything since the connection began.
    var traffic: Traffic {
        Traffic(
            messagesIn: messagesIn, bytesIn: payloadBytesIn,
            messagesOut: channel.pointee.messagesOut.load(ordering: .relaxed),
            bytesOut: channel.pointee.payloadBytesOut.load(ordering: .relaxed))
    }

    var lastActivityWallNs: Int64 { startedWallNs &+ Int64(clamping: max(lastActivityNs, startedNs) - startedNs) }

    /// What it exchanged since it entered its account.
    var accountTraffic: Traffic { traffic.since(trafficBefore) }

    /// How many receivers the cached publish line has; nil while nothing is cached.
    var cachedFanout: Int? {
        guard let publishCache, let index,
            publishCache.pointee.generation == index.generation.load(ordering: .relaxed)
        else { return nil }
        return publishCache.pointee.plainCount + publishCache.pointee.groups.count
    }

    /// A copy of what /connz shows.
    func snapshot(withSubscriptions: Bool, upTo limit: Int = .max) -> ClientSnapshot {
        var list: [ClientSnapshot.Interest] = []
        if withSubscriptions {
            subscriptions.forEach { if list.count < limit { list.append(ClientSnapshot.Interest($0)) } }
        }
        return ClientSnapshot(
            clientID: clientID, address: address, startedWallNs: startedWallNs,
            lastActivityWallNs: lastActivityWallNs,
            roundTripNs: roundTripNs, pendingBytes: channel.pointee.pendingBytes.load(ordering: .relaxed),
            messagesIn: messagesIn, bytesIn: payloadBytesIn,
            messagesOut: channel.pointee.messagesOut.load(ordering: .relaxed),
            bytesOut: channel.pointee.payloadBytesOut.load(ordering: .relaxed),
            subscriptionCount: subscriptions.count, subscriptions: list, name: options.name, lang: options.lang,
            version: options.version, account: account?.name, user: userName)
    }

    func trace(_ verb: ClientVerb, _ parser: borrowing ClientParser) {
        switch verb {
        case .publish:
            let line = parser.controlLine.string.split { $0.isNewline }.first ?? ""
            broker.log.trace("\(self.label) - <<- [\(line)]")
            let size = self.broker.tracedMessageBytesMax
            let shown = size > 0 ? min(size, parser.payload.count) : parser.payload.count
            let payload = ByteView(parser.payload.base, shown).string
            broker.log.trace("\(self.label) - <<- MSG_PAYLOAD: [\"\(payload)\"]")
        case .subscribe:
            let text = parser.text.string
            broker.log.trace("\(self.label) - <<- [SUB \(text)]")
        case .unsubscribe:
            let text = parser.text.string
            broker.log.trace("\(self.label) - <<- [UNSUB \(text)]")
        case .connect:
            // The text holds passwords.
            broker.log.trace("\(self.label) - <<- [CONNECT]")
        default:
            broker.log.trace("\(self.label) - <<- [\(verb)]")
        }
    }
}
