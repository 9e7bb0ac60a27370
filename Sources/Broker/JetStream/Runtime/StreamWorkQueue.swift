// What is to be done to the streams of one account, in the order in which it was asked for.

/// A request, or what has become of one.
enum StreamWork {
    case call(APICall)
    /// A snapshot has come in whole.
    case restored(StreamRestore)
}

/// Streams are created side by side; everything else goes alone.
struct StreamWorkQueue {
    private static let creationsMax = 16

    private var works: [StreamWork] = []
    /// How many of them have been taken.
    private var taken = 0
    /// The names of streams that are being created, side by side: what takes long is the disk.
    var creating: Set<String> = []
    /// Those of them that have passed their checks: others are checked against them.
    var configs: [String: StreamConfig] = [:]
    /// Something else is being done, which goes alone.
    var isBusy = false
    /// Its requests are being begun: what ends meanwhile leaves the next ones to that.
    var isBeginning = false
    /// The account has its directory, with which it survives a crash.
    var hasDirectory = false

    var waitingCount: Int { works.count - taken }

    mutating func append(_ work: StreamWork) { works.append(work) }

    /// Drops the requests that wait; restores that are complete go on.
    mutating func dropCalls() {
        works.removeFirst(taken)
        taken = 0
        works.removeAll { if case .call = $0 { true } else { false } }
    }

    /// Takes out what is next, if it may begin beside what is being done.
    mutating func takeNext() -> StreamWork? {
        guard !isBusy, taken < works.count else { return nil }
        let work = works[taken]
        if case .call(let call) = work, call.kind == .streamCreate {
            let limit = hasDirectory ? StreamWorkQueue.creationsMax : 1
            guard creating.count < limit, creating.insert(call.lastToken).inserted else { return nil }
        } else {
            guard creating.isEmpty else { return nil }
            isBusy = true
        }
        taken += 1
        // Seldom enough that moving the rest up costs next to nothing for each.
        if taken * 2 > works.count {
            works.removeFirst(taken)
            taken = 0
        }
        return work
    }
}
