// A short run of every fuzzer. `make fuzz` runs them for longer, and with another seed each time.

import FuzzKit
import Glibc
import Testing

/// FUZZ_SEED and FUZZ_SECONDS change what is run.
private func number(_ name: String) -> Double? { getenv(name).flatMap { Double(String(cString: $0)) } }

@Test(arguments: FuzzTarget.all.map(\.name)) func fuzzersFindNothing(name: String) throws {
    let target = try #require(FuzzTarget.all.first { $0.name == name })
    let seed = UInt64(number("FUZZ_SEED") ?? 1)
    let clock = ContinuousClock()
    let end = clock.now + .milliseconds(Int64((number("FUZZ_SECONDS") ?? 0.5) * 1_000))
    var iteration = 0
    while iteration < 20 || clock.now < end {
        do throws(FuzzFailure) {
            try target.run(seed: seed, iteration: iteration)
        } catch {
            Issue.record("fuzz --seed \(seed) \(name) --iteration \(iteration): \(error)")
            return
        }
        iteration += 1
    }
}
