import Glibc
import StoreKit
import Testing

/// A short run of what `make crash` does at length, in Tests/Crash/main.swift.
@Suite struct PowerFailureTests {
    @Test(arguments: [11, 12, 13] as [UInt64]) func nothingDurableIsLost(seed: UInt64) throws {
        let world = try CrashWorld(seed: seed)
        world.run(lives: 2, steps: 40)
        #expect(world.faults.isEmpty, "\(world.faults)")
        #expect(world.points > 20)
    }

    @Test func aDiskThatDoesNotSyncIsFoundOut() throws {
        let world = try CrashWorld(seed: 11, omitsSync: true)
        world.run(lives: 2, steps: 40)
        #expect(!world.faults.isEmpty)
    }

    @Test(arguments: [false, true]) func aFailingDiskLosesNothingDurable(lasting: Bool) throws {
        let calls = try CrashWorld(seed: 21).callsOf(steps: 20)
        for call in 1...max(calls, 1) {
            for fault in [DiskFault.error(EIO), .error(ENOSPC), .short(100), .torn(100, EIO)] {
                let world = try CrashWorld(seed: 21)
                world.run(steps: 20, fault, atCall: call, lasting: lasting)
                #expect(world.faults.isEmpty, "call \(call): \(world.faults)")
            }
        }
    }

    @Test(arguments: [false, true]) func damageCostsLittleAndIsReported(closes: Bool) throws {
        let world = try CorruptionWorld(closes: closes)
        world.flipAll(step: 61)
        world.truncateAll(step: 307)
        #expect(world.faults.isEmpty, "\(world.faults)")
        #expect(world.runs > 500 && world.costly > 10)
    }
}
