// Errors from several threads. For tests.

import Locks

final class ErrorList: Sendable {
    private let errors = Locked<[any Error]>([])
    func append(_ error: any Error) { errors.withLock { $0.append(error) } }
    var first: (any Error)? { errors.withLock { $0.first } }
}
