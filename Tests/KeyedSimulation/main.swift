// keyed-simulation: runs seeds until so many messages were delivered, and shows that it notices when a check is missing.

import Glibc

@testable import Broker

let usage = """
    usage: keyed-simulation [--deliveries N] [--seed S] [--per-seed N] [--progress FILE]
           keyed-simulation --without one-lease|fence|durable-ack
           keyed-simulation --trace SEED [--per-seed N]

    Simulates keyed consumers with clients and brokers that crash, from seed S (1) on, until N (1000000) messages were delivered.
    With --progress, goes on where FILE says, and notes in it how far it is. It begins with taking away each check of the broker
    in turn, which the simulation has to find out; with --without, it does so for one and ends.

    """

func fail(_ text: String) -> Never {
    var text = text
    text.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
    exit(2)
}

/// A crash reads all that was stored: short lives cost less. Some are longer.
var wanted = 1_000_000, perSeed = 1_000
var seed: UInt64 = 1
var without: String?
var single: UInt64?
var progress: String?
var arguments = CommandLine.arguments.dropFirst()
while let argument = arguments.popFirst() {
    guard let value = arguments.popFirst() else { fail(usage) }
    switch argument {
    case "--deliveries": wanted = Int(value) ?? 0
    case "--per-seed": perSeed = Int(value) ?? 0
    case "--seed": seed = UInt64(value) ?? 0
    case "--without": without = value
    case "--progress": progress = value
    case "--trace": single = UInt64(value)
    default: fail(usage)
    }
}
if wanted <= 0 || perSeed <= 0 || seed == 0 { fail(usage) }

@MainActor func deliveries(_ seed: UInt64) -> Int { seed % 16 == 0 ? perSeed * 4 : perSeed }

/// The next seed, and what was delivered before it.
func readProgress(_ path: String) -> (seed: UInt64, delivered: Int)? {
    guard let file = fopen(path, "r") else { return nil }
    defer { fclose(file) }
    var seed: UInt64 = 0, delivered = 0
    return withUnsafeMutablePointer(to: &seed) { first in
        withUnsafeMutablePointer(to: &delivered) { second in
            withVaList([first, second]) { vfscanf(file, "%lu %ld", $0) } == 2 ? (first.pointee, second.pointee) : nil
        }
    }
}

func note(_ path: String, _ seed: UInt64, _ delivered: Int) {
    guard let file = fopen(path, "w") else { return }
    fputs("\(seed) \(delivered)\n", file)
    fclose(file)
}

if let single {
    do {
        var simulation = try Simulation(seed: single, checks: .all)
        simulation.traces = true
        try simulation.run(deliveries: deliveries(single))
        print("keyed-simulation: 1 passed, 0 failed")
        exit(0)
    } catch {
        print("FAILED: \(error)")
        exit(1)
    }
}

let missing: [String: KeyedChecks] = ["one-lease": .oneLease, "fence": .fence, "durable-ack": .durableAck]
var passed = 0, failed = 0

/// Whether the simulation notices within some seeds that a check is missing.
func notices(_ name: String, _ check: KeyedChecks) -> Bool {
    for seed in 1...200 as ClosedRange<UInt64> {
        do {
            var simulation = try Simulation(seed: seed, checks: KeyedChecks.all.subtracting(check))
            try simulation.run(deliveries: 2_000)
        } catch {
            print("without \(name), as it must be: \(error)")
            return true
        }
    }
    return false
}

for (name, check) in missing.sorted(by: { $0.key < $1.key }) where without == nil || without == name {
    if notices(name, check) {
        passed += 1
    } else {
        failed += 1
        print("FAILED: without \(name) nothing is noticed")
    }
}
if without == nil {
    var delivered = 0, reported = 0
    if let found = progress.flatMap(readProgress) { (seed, delivered) = found }
    while delivered < wanted {
        do {
            var simulation = try Simulation(seed: seed, checks: .all)
            try simulation.run(deliveries: min(deliveries(seed), wanted))
            delivered += simulation.deliveries
            passed += 1
        } catch {
            print("FAILED: \(error)")
            failed += 1
            if failed > 5 { break }
            delivered += deliveries(seed)
        }
        seed += 1
        if let progress, failed == 0 { note(progress, seed, delivered) }
        if delivered / 1_000_000 > reported {
            reported = delivered / 1_000_000
            print("\(delivered) deliveries, up to seed \(seed - 1)")
            fflush(nil)
        }
    }
    print("keyed-simulation: \(delivered) deliveries without a violation in \(passed) lives")
}
print("keyed-simulation: \(passed) passed, \(failed) failed")
exit(failed == 0 ? 0 : 1)
