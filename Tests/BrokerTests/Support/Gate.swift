// Holds threads until the test lets them go on. For tests that must see one thing happen before another.

import Glibc
import Synchronization

@testable import Broker

/// Closed at first; opened once, for all.
final class Gate: Sendable {
    private let isOpen = Atomic<Bool>(false)
    private let held = Atomic<Int>(0)

    func open() { isOpen.store(true, ordering: .releasing) }

    /// Waits until the gate is open.
    func pass() {
        held.wrappingAdd(1, ordering: .sequentiallyConsistent)
        while !isOpen.load(ordering: .acquiring) { usleep(200) }
    }

    /// Waits until `count` threads stand before the gate.
    func holds(_ count: Int) -> Bool { eventually { held.load(ordering: .sequentiallyConsistent) == count } }
}

extension TestBroker {
    /// Password checks wait, from now on until the gate opens.
    func holdWorkers() throws -> Gate {
        let gate = Gate()
        for _ in 0..<Broker.workersMax where !broker.workers.run({ gate.pass() }) { throw TestFailure("no worker") }
        guard gate.holds(Broker.workersMax) else { throw TestFailure("the workers do not come") }
        return gate
    }

    /// A loop does nothing, from now on until the gate opens.
    func hold(loop: Int) throws -> Gate {
        let gate = Gate()
        broker.group.mailboxes[loop].post { _ in gate.pass() }
        guard gate.holds(1) else { throw TestFailure("loop \(loop) does not come") }
        return gate
    }

    /// How many connections wait for the check of a password.
    var checkingCount: Int {
        onEveryLoop { $0.connections.values.reduce(0) { $0 + ($1.phase == .checkingPassword ? 1 : 0) } }.reduce(0, +)
    }
}
