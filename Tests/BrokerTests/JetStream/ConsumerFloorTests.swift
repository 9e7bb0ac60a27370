// Where the ack floor stands once messages have used up their deliveries: as nats-server 2.15.1 reports it.

import Testing

@testable import Broker

@Suite struct ConsumerFloorTests {
    /// Delivers `count` messages more.
    private func deliver(_ count: Int, _ state: inout ConsumerState) {
        for _ in 0..<count { _ = state.deliver(state.delivered.stream + 1, tracks: true, sinceNs: 0) }
    }

    private func finish(_ sequences: UInt64..., in state: inout ConsumerState) {
        for sequence in sequences { state.finish(state.pending.find(sequence)) }
    }

    private func exhaust(_ sequences: ClosedRange<UInt64>, in state: inout ConsumerState) {
        for sequence in sequences { state.exhaust(state.pending.find(sequence)) }
    }

    @Test func staysBelowWhatIsUsedUp() {
        var state = ConsumerState(startsAt: 1)
        deliver(6, &state)
        finish(1, in: &state)
        exhaust(2...6, in: &state)
        #expect(state.ackFloor == ConsumerPosition(consumer: 1, stream: 1))
        deliver(1, &state)
        #expect(state.ackFloor == ConsumerPosition(consumer: 1, stream: 1))
        finish(7, in: &state)
        #expect(state.ackFloor == ConsumerPosition(consumer: 7, stream: 7))
        deliver(3, &state)
        finish(9, in: &state)
        #expect(state.ackFloor == ConsumerPosition(consumer: 7, stream: 7))
        finish(8, in: &state)
        #expect(state.ackFloor == ConsumerPosition(consumer: 9, stream: 9))
    }

    @Test func passesWhatIsUsedUpWhenNothingIsPending() {
        var state = ConsumerState(startsAt: 1)
        deliver(3, &state)
        exhaust(1...3, in: &state)
        deliver(3, &state)
        finish(4, 6, in: &state)
        #expect(state.ackFloor == ConsumerPosition(consumer: 0, stream: 0))
        finish(5, in: &state)
        #expect(state.ackFloor == ConsumerPosition(consumer: 6, stream: 6))
    }
}
