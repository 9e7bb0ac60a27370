// One consumer: what it has delivered, what waits for an ack, who waits for messages.

import Store
import Wire

/// Owned by its stream's loop. Takes what happens (requests, acks, time) and lets the host send what follows.
///
/// A consumer never sends anything outside `turnEnded`, `advance` and the handling of one request or ack.
final class Consumer {
    unowned let stream: any ConsumerStream
    let name: String
    let createdNs: Int64
    private(set) var config: ConsumerConfig

    init(name: String, config: ConsumerConfig, createdNs: Int64, stream: any ConsumerStream) {
        self.name = name
        self.config = config
        self.createdNs = createdNs
        self.stream = stream
    }
}
