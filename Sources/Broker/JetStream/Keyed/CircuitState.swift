// The circuit of a keyed consumer: notices when too large a share of its keys parks.

/// Counts the keys that were leased and those that were parked, in a window that moves on by halves. Keys are told apart by
/// their hashes in a bitmap, so that one that is leased often counts once (linear counting).
struct CircuitState {
    /// So many parks at least: one poisoned key among the first few says nothing yet.
    static let parksMin = 3
    private static let bits = 1 << 14

    private struct Half {
        var words = [UInt64](repeating: 0, count: bits / 64)
        /// The hashes of those that have parked: one that parks again and again counts once.
        var parked: Set<UInt64> = []
    }

    let ratio: Double
    let windowNs: UInt64
    var isOpen = false
    private var current = Half()
    private var previous = Half()
    private var beganNs: UInt64 = 0

    init(_ circuit: ParkCircuit) {
        ratio = circuit.ratio
        windowNs = circuit.windowNs
    }

    mutating func leased(_ hash: UInt64, _ nowNs: UInt64) {
        move(nowNs)
        let bit = Int(truncatingIfNeeded: hash) & (CircuitState.bits - 1)
        current.words[bit / 64] |= 1 << UInt64(bit % 64)
    }

    mutating func parked(_ hash: UInt64, _ nowNs: UInt64) {
        move(nowNs)
        if current.parked.count < CircuitState.bits { current.parked.insert(hash) }
    }

    /// Whether so many keys have parked that the consumer has to pause.
    mutating func trips(_ nowNs: UInt64) -> Bool {
        move(nowNs)
        let parks = current.parked.union(previous.parked).count
        guard parks >= CircuitState.parksMin else { return false }
        return Double(parks) >= ratio * max(Double(parks), keys)
    }

    /// An operator has closed it: what was counted is forgotten.
    mutating func reset() {
        isOpen = false
        current = Half()
        previous = Half()
    }

    /// How many different keys were leased in the window, nearly.
    private var keys: Double {
        var zeroes = 0
        for place in 0..<current.words.count { zeroes += (~(current.words[place] | previous.words[place])).nonzeroBitCount }
        guard zeroes > 0 else { return Double(CircuitState.bits) * 10 }
        let bits = Double(CircuitState.bits)
        return (bits * CircuitState.logarithm(bits / Double(zeroes))).rounded()
    }

    private mutating func move(_ nowNs: UInt64) {
        let half = max(1, windowNs / 2)
        guard nowNs >= beganNs &+ half else { return }
        previous = nowNs < beganNs &+ half &* 2 ? current : Half()
        current = Half()
        beganNs = nowNs
    }

    /// Natural, of a number from 1 to 2^14.
    private static func logarithm(_ value: Double) -> Double {
        // value = m * 2^e with m from 1 to 2: ln m by its series in (m - 1) / (m + 1).
        let exponent = Double(value.exponent), rest = (value.significand - 1) / (value.significand + 1)
        var term = rest, sum = rest, place = 3.0
        for _ in 0..<12 {
            term *= rest * rest
            sum += term / place
            place += 2
        }
        return 2 * sum + exponent * 0.693_147_180_559_945_3
    }
}
