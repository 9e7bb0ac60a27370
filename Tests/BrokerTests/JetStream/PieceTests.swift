// Which connections are read in pieces: those that wait for acks which come without a sync.

import Testing

@testable import Broker

@Suite struct PieceTests {
    private func isReadInPieces(_ broker: StreamBroker) -> Bool {
        broker.test.onEveryLoop { $0.connections.values.contains { $0.channel.pointee.isReadInPieces } }.contains(true)
    }

    @Test func publishersOfStreamsThatAckAtOnceAreReadInPieces() throws {
        let broker = try StreamBroker()
        _ = try broker.createStream("M", #","storage":"memory""#)
        _ = try broker.createStream("A", #","persist_mode":"async""#)
        for subject in ["m.1", "a.1"] {
            try broker.request(subject, "x")
            #expect(isReadInPieces(broker), "\(subject)")
            // Nobody waits: what comes may come whole.
            try broker.client.send("PUB \(subject) 1\r\nx\r\n")
            try broker.client.roundTrip()
            #expect(!isReadInPieces(broker), "\(subject)")
        }
    }

    /// One sync serves all that is there: pieces would ask for more of them.
    @Test func publishersThatWaitForASyncAreReadWhole() throws {
        let broker = try StreamBroker()
        _ = try broker.createStream("S")
        try broker.request("s.1", "x")
        #expect(!isReadInPieces(broker))
    }

    @Test(arguments: [JetStreamOptions.Sync.never, .every(ns: 1_000_000_000)])
    func withoutASyncBeforeEachAckFilesAreAsFastAsMemory(sync: JetStreamOptions.Sync) throws {
        let broker = try StreamBroker { $0.jetStream.sync = sync }
        _ = try broker.createStream("S")
        try broker.request("s.1", "x")
        #expect(isReadInPieces(broker))
    }
}
