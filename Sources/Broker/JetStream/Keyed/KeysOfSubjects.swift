// Remembers which key a subject has, so that a subject that comes again costs no search for its key.

import Store

/// A table of at most 16,384 places, in which subjects that share one forget each other.
struct KeysOfSubjects: ~Copyable {
    private struct Place {
        var subject: SubjectID = 0
        var key = IssuedKey(id: 0, issue: 0)
    }

    private static let sizeMax = 1 << 14

    private var places: UnsafeMutablePointer<Place>
    private var size = 64
    private var epoch: UInt32 = 0

    init() {
        places = .allocate(capacity: size)
        places.initialize(repeating: Place(), count: size)
    }

    deinit { places.deallocate() }

    /// Bytes that it holds.
    var memory: Int { size * MemoryLayout<Place>.stride }

    /// What was set for a subject, unless that has been forgotten.
    ///
    /// - Parameter epoch: the subject table's: when it moves, a number may stand for another subject than before.
    @inline(__always)
    mutating func find(_ subject: SubjectID, _ epoch: UInt32) -> IssuedKey? {
        if epoch != self.epoch {
            self.epoch = epoch
            places.update(repeating: Place(), count: size)
        }
        let place = places + (Int(subject) & (size &- 1))
        return place.pointee.subject == subject ? place.pointee.key : nil
    }

    /// Not without a `find` before it.
    mutating func set(_ subject: SubjectID, _ key: IssuedKey) {
        if Int(subject) >= size && size < KeysOfSubjects.sizeMax { grow() }
        places[Int(subject) & (size &- 1)] = Place(subject: subject, key: key)
    }

    private mutating func grow() {
        let old = places, oldSize = size
        size *= 2
        places = .allocate(capacity: size)
        places.initialize(repeating: Place(), count: size)
        for place in 0..<oldSize where old[place].subject != 0 {
            places[Int(old[place].subject) & (size &- 1)] = old[place]
        }
        old.deallocate()
    }
}
