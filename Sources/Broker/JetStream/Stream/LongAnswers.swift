// Answers that take longer than a turn may: they are given piece by piece, so that nobody else on the loop waits for them.

import Store
import Wire

/// What a piece of an answer ended with.
enum AnswerEnd {
    case finished
    /// Its share of the turn is used up.
    case steps
    /// A message has to come from the disk first.
    case reading
    /// Its receiver has much to take yet.
    case congested
}

/// One of them. The stream changes between its pieces: it may hold sequences, but no views of messages or subjects.
protocol LongAnswer: AnyObject {
    /// Gives the next piece.
    ///
    /// - Parameter steps: what may be done of it. A step takes about 50 ns; what is done is taken off.
    func proceed(_ stream: Stream, _ steps: inout Int) -> AnswerEnd
}

/// Those of one stream that are under way.
struct LongAnswers {
    /// As many requests as nats-server lets wait.
    static let countMax = 10_000
    /// All of a stream's in one turn: about a millisecond.
    static let stepsPerTurn = 16_384
    /// One answer's, before the next one gets its piece.
    static let stepsPerPiece = 4_096
    /// Until a receiver that has much to take is looked at again.
    static let congestedNs: UInt64 = 2_000_000

    /// Those that wait for the disk at once; the others go on when they have what they want.
    fileprivate static let readingMax = 32

    fileprivate struct Waiting {
        let answer: any LongAnswer
        /// Monotonic; 0: at once.
        var dueNs: UInt64 = 0
    }
    /// Whose turn it is comes first.
    fileprivate var waiting: [Waiting] = []
    /// Those that need much memory while they are made: one at a time.
    fileprivate var large: [any LongAnswer] = []
    fileprivate var reading = 0
    fileprivate var turnNs: UInt64 = 0
    fileprivate var stepsLeft = LongAnswers.stepsPerTurn

    var count: Int { waiting.count + large.count + reading }

    /// When the next piece may be given.
    fileprivate(set) var dueNs = UInt64.max
}

extension Stream {
    /// Has an answer given, from the end of this turn on. False: too many are under way.
    ///
    /// - Parameter isLarge: it needs much memory while it is made.
    func begin(_ answer: any LongAnswer, isLarge: Bool = false) -> Bool {
        guard longAnswers.count < LongAnswers.countMax else { return false }
        if isLarge { longAnswers.large.append(answer) } else { longAnswers.waiting.append(LongAnswers.Waiting(answer: answer)) }
        longAnswers.dueNs = 0
        return true
    }

    /// Gives the next pieces, as many as one turn has room for.
    func proceedWithAnswers() {
        let nowNs = host.now.monotonicNs
        guard longAnswers.dueNs <= nowNs else { return }
        if longAnswers.turnNs != nowNs {
            longAnswers.turnNs = nowNs
            longAnswers.stepsLeft = LongAnswers.stepsPerTurn
        }
        var steps = longAnswers.stepsLeft
        proceedWithLarge(&steps)
        let taken = longAnswers.waiting
        longAnswers.waiting = []
        var again: [LongAnswers.Waiting] = []
        for place in taken.indices {
            guard steps > 0, longAnswers.reading < LongAnswers.readingMax else {
                longAnswers.waiting += taken[place...]
                break
            }
            var one = taken[place]
            if one.dueNs <= nowNs {
                guard let dueNs = proceed(with: one.answer, &steps, nowNs) else { continue }
                one.dueNs = dueNs
            }
            again.append(one)
        }
        longAnswers.waiting += again
        longAnswers.stepsLeft = steps
        if !longAnswers.large.isEmpty {
            longAnswers.dueNs = 0
        } else if longAnswers.reading < LongAnswers.readingMax {
            longAnswers.dueNs = longAnswers.waiting.reduce(.max) { min($0, $1.dueNs) }
        } else {
            longAnswers.dueNs = .max
        }
        // This turn's share is used up.
        if steps <= 0 && longAnswers.dueNs < .max { longAnswers.dueNs = max(longAnswers.dueNs, nowNs &+ 1) }
    }

    /// - Returns: when it goes on; nil if it does not, or only when something has come from the disk.
    private func proceed(with answer: any LongAnswer, _ steps: inout Int, _ nowNs: UInt64) -> UInt64? {
        var piece = min(steps, LongAnswers.stepsPerPiece)
        let given = piece
        let end = answer.proceed(self, &piece)
        steps -= max(1, given - piece)
        switch end {
        case .finished: return nil
        case .steps: return 0
        case .congested: return saturatingSum(nowNs, LongAnswers.congestedNs)
        case .reading:
            longAnswers.reading += 1
            afterLoad { [unowned self] in
                longAnswers.reading -= 1
                longAnswers.waiting.append(LongAnswers.Waiting(answer: answer))
                longAnswers.dueNs = 0
            }
            return nil
        }
    }

    /// Half of the turn is for the one that is being made.
    private func proceedWithLarge(_ steps: inout Int) {
        guard let first = longAnswers.large.first, steps > 0 else { return }
        var piece = min(steps, LongAnswers.stepsPerTurn / 2)
        let given = piece
        let end = first.proceed(self, &piece)
        steps -= max(1, given - piece)
        if case .finished = end { longAnswers.large.removeFirst() }
    }
}
