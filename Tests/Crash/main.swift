// Power failures by the thousand, and disks that fail at every call:
// `crash [--points N] [--from SEED] [--seed SEED] [--omit-sync] [--faults WORLDS] [--corrupt]`.

import Glibc
import StoreKit

struct Arguments {
    var points = 100_000
    var from: UInt64 = 1
    /// One seed only.
    var seed: UInt64?
    var omitsSync = false
    /// Damages every byte of a small store instead.
    var corrupts = false
    /// Fails every call of so many worlds instead.
    var faults: Int?

    init?(_ words: [String]) {
        var words = words[...]
        func number<Number: FixedWidthInteger>(_ words: inout ArraySlice<String>) -> Number? {
            words.popFirst().flatMap { Number($0) }
        }
        while let word = words.popFirst() {
            switch word {
            case "--points":
                guard let value: Int = number(&words) else { return nil }
                points = value
            case "--from":
                guard let value: UInt64 = number(&words) else { return nil }
                from = value
            case "--seed":
                guard let value: UInt64 = number(&words) else { return nil }
                seed = value
            case "--omit-sync": omitsSync = true
            case "--corrupt": corrupts = true
            case "--faults":
                guard let value: Int = number(&words) else { return nil }
                faults = value
            default: return nil
            }
        }
    }
}

/// - Returns: whether all went well.
func corruptEveryByte() -> Bool {
    var failed = 0, runs = 0, costly = 0
    for closes in [true, false] {
        guard let world = try? CorruptionWorld(closes: closes) else { return false }
        world.flipAll()
        world.truncateAll()
        for fault in world.faults { say("    \(closes ? "closed" : "not closed"): \(fault)") }
        failed += world.faults.count
        runs += world.runs
        costly += world.costly
    }
    say("damage: \(runs - failed) passed, \(failed) failed")
    return failed == 0 && costly > 0
}

/// - Returns: whether all went well.
func failEveryCall(from first: UInt64, worlds: Int) -> Bool {
    let kinds: [(String, DiskFault)] = [
        ("EIO", .error(EIO)), ("ENOSPC", .error(ENOSPC)), ("short", .short(100)), ("torn", .torn(100, EIO)),
    ]
    var runs = 0, failed = 0
    for seed in first..<first + UInt64(worlds) {
        guard let calls = try? CrashWorld(seed: seed).callsOf(steps: 40), calls > 0 else { return false }
        for call in 1...calls {
            for (name, fault) in kinds {
                for lasting in [false, true] {
                    runs += 1
                    guard let world = try? CrashWorld(seed: seed) else { return false }
                    world.run(steps: 40, fault, atCall: call, lasting: lasting)
                    if world.faults.isEmpty { continue }
                    failed += 1
                    for line in world.faults { say("    \(name)\(lasting ? " from there on" : ""): \(line)") }
                    say("--- FAILED; again with: .build/release/crash --faults 1 --seed \(seed)")
                    if failed >= 5 { break }
                }
            }
            if failed >= 5 { break }
        }
        if failed >= 5 { break }
    }
    say("failing disks: \(runs - failed) passed, \(failed) failed")
    return failed == 0
}

func say(_ text: String) {
    print(text)
    fflush(nil)
}

guard let arguments = Arguments(Array(CommandLine.arguments.dropFirst())) else {
    say(
        """
        usage: crash [--points N] [--from SEED] [--seed SEED] [--omit-sync] [--faults WORLDS] [--corrupt]
          A store works on a disk that forgets what was not synced, and loses power at every step. Each seed is a world of
          its own; --points says how many power failures there are to be in all, --from the first seed, --seed the only one.
          --omit-sync: the disk says that it has synced, and has not: this must fail.
          --corrupt: no power failures; every byte of every file of a small store is flipped, and every file cut short at
          every length.
          --faults WORLDS: no power failures; the disk fails at each call in turn, once or from there on, with EIO, ENOSPC,
          short and torn writes.
        """)
    exit(2)
}

if arguments.corrupts { exit(corruptEveryByte() ? 0 : 1) }
if let worlds = arguments.faults { exit(failEveryCall(from: arguments.seed ?? arguments.from, worlds: worlds) ? 0 : 1) }

var points = 0, worlds = 0, failed = 0
var seed = arguments.seed ?? arguments.from
repeat {
    do {
        let world = try CrashWorld(seed: seed, omitsSync: arguments.omitsSync)
        world.run()
        points += world.points
        if !world.faults.isEmpty {
            failed += 1
            for fault in world.faults { say("    \(fault)") }
            say("--- FAILED; again with: .build/release/crash --seed \(seed)\(arguments.omitsSync ? " --omit-sync" : "")")
        }
    } catch {
        failed += 1
        say("--- FAILED seed \(seed): \(error)")
    }
    worlds += 1
    seed += 1
} while arguments.seed == nil && points < arguments.points && failed < 5
say("power failures: \(points) in \(worlds) worlds, seeds \(arguments.seed ?? arguments.from) to \(seed - 1)")
say("power failures: \(worlds - failed) passed, \(failed) failed")
exit(failed == 0 ? 0 : 1)
