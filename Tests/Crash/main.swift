// Power failures by the thousand: `crash [--points N] [--from SEED] [--seed SEED] [--omit-sync]`.

import Glibc
import StoreKit

struct Arguments {
    var points = 100_000
    var from: UInt64 = 1
    /// One seed only.
    var seed: UInt64?
    var omitsSync = false

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
            default: return nil
            }
        }
    }
}

func say(_ text: String) {
    print(text)
    fflush(nil)
}

guard let arguments = Arguments(Array(CommandLine.arguments.dropFirst())) else {
    say(
        """
        usage: crash [--points N] [--from SEED] [--seed SEED] [--omit-sync]
          A store works on a disk that forgets what was not synced, and loses power at every step. Each seed is a world of
          its own; --points says how many power failures there are to be in all, --from the first seed, --seed the only one.
          --omit-sync: the disk says that it has synced, and has not: this must fail.
        """)
    exit(2)
}

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
