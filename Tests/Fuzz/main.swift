// fuzz: runs the fuzzers for a while, from a seed that it prints, and repeats one iteration when asked to.

import FuzzKit
import Glibc

let usage = """
    usage: fuzz [--seed N] [--seconds S] [--iteration I] [TARGET...]

    Runs each target for S seconds (5), beginning at iteration I (0). With --iteration and no --seconds, that one only.
    Targets: \(FuzzTarget.all.map(\.name).joined(separator: " "))

    """

/// What a crash report has to say, where a signal handler can reach it.
struct Position {
    static nonisolated(unsafe) let text = UnsafeMutablePointer<CChar>.allocate(capacity: 256)
    static nonisolated(unsafe) let iteration = UnsafeMutablePointer<Int>.allocate(capacity: 1)
}

func fail(_ text: String) -> Never {
    var text = text
    text.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
    exit(2)
}

func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// Says which iteration trapped, then lets the trap take its course.
func reportTraps() {
    for number in [SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGABRT, SIGFPE] {
        signal(number) { number in
            var line: [CChar] = Array(repeating: 0, count: 300)
            let count = withVaList([Position.text, Position.iteration.pointee]) {
                vsnprintf(&line, 300, "\ntrapped: %s --iteration %ld\n", $0)
            }
            write(STDERR_FILENO, line, Int(count))
            signal(number, SIG_DFL)
            raise(number)
        }
    }
}

var seed: UInt64 = UInt64.random(in: 0...UInt64(UInt32.max))
var seconds: Double?
var single: Int?
var names: [String] = []
var arguments = CommandLine.arguments.dropFirst()
while let argument = arguments.popFirst() {
    switch argument {
    case "--seed":
        guard let value = arguments.popFirst().flatMap({ UInt64($0) }) else { fail(usage) }
        seed = value
    case "--seconds":
        guard let value = arguments.popFirst().flatMap({ Double($0) }) else { fail(usage) }
        seconds = value
    case "--iteration":
        guard let value = arguments.popFirst().flatMap({ Int($0) }) else { fail(usage) }
        single = value
    case "--help", "-h":
        print(usage, terminator: "")
        exit(0)
    default:
        guard FuzzTarget.all.contains(where: { $0.name == argument }) else { fail("fuzz: no target \(argument)\n\(usage)") }
        names.append(argument)
    }
}

Position.iteration.initialize(to: 0)
reportTraps()
print("fuzz: seed \(seed)")
var passed = 0, failed = 0
for target in FuzzTarget.all where names.isEmpty || names.contains(target.name) {
    let again = "fuzz --seed \(seed) \(target.name)"
    again.withCString { _ = strncpy(Position.text, $0, 255) }
    var iteration = single ?? 0
    let begun = now()
    let end = begun + (seconds ?? (single == nil ? 5 : 0))
    do throws(FuzzFailure) {
        repeat {
            Position.iteration.pointee = iteration
            try target.run(seed: seed, iteration: iteration)
            iteration += 1
        } while now() < end
        passed += 1
        print("\(target.name): \(iteration - (single ?? 0)) iterations")
    } catch {
        failed += 1
        print("\(target.name): FAILED: \(error)\n    again: \(again) --iteration \(iteration)")
    }
}
print("fuzz: \(passed) passed, \(failed) failed")
exit(failed == 0 ? 0 : 1)
