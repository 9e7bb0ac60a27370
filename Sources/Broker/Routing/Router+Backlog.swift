// Keeps publishers from running ahead of the disk: connections that feed an overloaded loop are not read for a while.

import Reactor

extension Router {
    /// How often relief is looked for: a disk writes a few megabytes in that time.
    private static let reliefPollMs = 2

    /// Stops reading a connection until every loop has got through half of what a backlog may hold.
    func holdUntilRelief(_ channel: ChannelRef) {
        let id = channel.pointee.id
        guard !held.contains(id) else { return }
        loop.pauseReading(channel)
        held.append(id)
        if held.count == 1 { awaitRelief() }
    }

    private func awaitRelief() {
        loop.schedule(afterMs: Router.reliefPollMs) { [unowned self] in
            guard broker.backlog.isRelieved else { return awaitRelief() }
            let resumed = held
            held = []
            for id in resumed { if let channel = loop.channel(id) { loop.resumeReading(channel) } }
        }
    }
}
