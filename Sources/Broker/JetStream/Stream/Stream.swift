// One stream: decides what becomes of each publish, keeps the limits, and shows what is durable to its consumers.

import Store
import Wire

/// Owned by one loop. The runtime passes in publishes, requests, finished commits and time; effects go through the host.
final class Stream {
    private(set) var config: StreamConfig
    let host: any StreamHost
    let log: any MessageLog
    let journal: (any ConsumerJournal)?

    init(config: StreamConfig, log: any MessageLog, journal: (any ConsumerJournal)?, host: any StreamHost) {
        self.config = config
        self.log = log
        self.journal = journal
        self.host = host
    }
}
