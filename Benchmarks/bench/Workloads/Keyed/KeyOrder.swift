// Checks that the messages of each key are handled one after the other, in their order, each of them.

/// What is wrong with a delivery.
enum OrderFault: Error, Equatable {
    /// A live handler has a message of this key.
    case keyIsBusy
    /// An earlier message of the key has not been handled.
    case steppedOver(expected: Int)
    /// It was handled, and its ack can not have been lost.
    case handledBefore
    /// The key was parked, or is to stay so.
    case keyIsParked
}

/// Messages of a key are counted from 0: message `ordinal` may be handed out when all before it are done.
///
/// With `checksOrder` false only repetition is a fault: what a consumer without keys promises.
struct KeyOrder {
    private struct Key {
        var done: UInt32 = 0
        var isBusy = false
        var isParked = false
    }

    let checksOrder: Bool
    private var keys: [Key]
    /// Without order: which numbers are done.
    private var doneNumbers: [UInt64] = []
    /// Messages that were handed out again after their ack, because a connection broke.
    private(set) var repeats = 0

    init(keys: Int, checksOrder: Bool = true) {
        self.checksOrder = checksOrder
        self.keys = Array(repeating: Key(), count: keys)
    }

    /// How many messages of the key are done.
    func done(_ key: Int) -> Int { Int(keys[key].done) }

    /// A message comes to a handler.
    ///
    /// - Parameter ackMayBeLost: connections break in this run, and this is a redelivery.
    @inline(__always)
    mutating func begin(_ key: Int, _ ordinal: Int, number: Int, ackMayBeLost: Bool) throws(OrderFault) {
        guard checksOrder else {
            if isDone(number) {
                if !ackMayBeLost { throw .handledBefore }
                repeats += 1
            }
            return
        }
        if keys[key].isBusy { throw .keyIsBusy }
        if keys[key].isParked { throw .keyIsParked }
        if ordinal > Int(keys[key].done) { throw .steppedOver(expected: Int(keys[key].done)) }
        if ordinal < Int(keys[key].done) {
            if !ackMayBeLost { throw .handledBefore }
            repeats += 1
        }
        keys[key].isBusy = true
    }

    /// It was handled (or, with a server that does not park, given up), and is acked.
    ///
    /// - Returns: whether it had not been handled before.
    @inline(__always)
    mutating func end(_ key: Int, _ ordinal: Int, number: Int) -> Bool {
        keys[key].isBusy = false
        guard checksOrder else {
            if isDone(number) { return false }
            doneNumbers[number >> 6] |= 1 << UInt64(number & 63)
            keys[key].done += 1
            return true
        }
        guard ordinal == Int(keys[key].done) else { return false }
        keys[key].done += 1
        return true
    }

    /// Its handler died, or gave it back.
    mutating func giveUp(_ key: Int) { keys[key].isBusy = false }

    /// Nothing of the key may come any more.
    mutating func park(_ key: Int) {
        keys[key].isBusy = false
        keys[key].isParked = true
    }

    @inline(__always)
    private mutating func isDone(_ number: Int) -> Bool {
        while doneNumbers.count <= number >> 6 { doneNumbers.append(0) }
        return doneNumbers[number >> 6] >> UInt64(number & 63) & 1 == 1
    }
}
