// Asks every loop for a part of an answer, without stopping any of them.

import Locks
import Reactor

/// Collects one part per loop and gives all of them, in the order of the loops, to `finish`: on the thread of the loop
/// that is last, or on a worker. Parts are copies; nothing of a loop leaves it.
final class Gathering<Part: Sendable>: Sendable {
    private struct State {
        var parts: [Part?]
        var missing: Int
    }
    private let state: Locked<State>
    private let finish: @Sendable ([Part]) -> Void

    private init(loops: Int, finish: @escaping @Sendable ([Part]) -> Void) {
        state = Locked(State(parts: Array(repeating: nil, count: loops), missing: loops))
        self.finish = finish
    }

    private func add(_ part: Part, from loop: Int) {
        let complete = state.withLock { state -> [Part]? in
            state.parts[loop] = part
            state.missing -= 1
            return state.missing == 0 ? state.parts.compactMap { $0 } : nil
        }
        if let complete { finish(complete) }
    }

    /// Asks for something that is at hand.
    static func collect(
        _ broker: Broker, _ part: @escaping @Sendable (Router) -> Part, finish: @escaping @Sendable ([Part]) -> Void
    ) {
        let gathering = Gathering(loops: broker.group.count, finish: finish)
        broker.everyLoop { router in gathering.add(part(router), from: router.loop.index) }
    }

    /// Walks over connections, some of them in each turn.
    ///
    /// - Parameters:
    ///   - clientIDs: which ones, of those on the router's loop; those that close meanwhile are passed over.
    ///   - visit: looks at one, and takes what that costs off the budget (a connection or a subscription is 1). It is
    ///     called again for the same connection, in a later turn, until it returns true.
    static func walk(
        _ broker: Broker, start: @escaping @Sendable (Router) -> Part,
        clientIDs: @escaping @Sendable (Router) -> [UInt64],
        visit: @escaping @Sendable (ClientConnection, inout Part, inout Int) -> Bool,
        finish: @escaping @Sendable ([Part]) -> Void
    ) {
        let gathering = Gathering(loops: broker.group.count, finish: finish)
        broker.everyLoop { router in
            let walk = ConnectionWalk(router: router, part: start(router), clientIDs: clientIDs(router), visit: visit) {
                gathering.add($0, from: router.loop.index)
            }
            walk.step()
        }
    }
}

/// A walk over connections of one loop, which owns it.
private final class ConnectionWalk<Part> {
    /// Visited in one turn: about half a millisecond.
    private static var budgetPerTurn: Int { 2_048 }

    private let router: Router
    private var part: Part
    private let clientIDs: [UInt64]
    private var position = 0
    private let visit: (ClientConnection, inout Part, inout Int) -> Bool
    private let finish: (Part) -> Void

    init(
        router: Router, part: Part, clientIDs: [UInt64],
        visit: @escaping (ClientConnection, inout Part, inout Int) -> Bool, finish: @escaping (Part) -> Void
    ) {
        self.router = router
        self.part = part
        self.clientIDs = clientIDs
        self.visit = visit
        self.finish = finish
    }

    func step() {
        var budget = Self.budgetPerTurn
        while position < clientIDs.count {
            guard budget > 0 else {
                router.loop.schedule(afterMs: 0) { self.step() }
                return
            }
            budget -= 1
            if let connection = router.connections[clientIDs[position]], !visit(connection, &part, &budget) { continue }
            position += 1
        }
        finish(part)
    }
}
