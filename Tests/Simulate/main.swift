// simulate: runs the seeds of a range, says where to go on, and repeats one seed when asked to.

import Glibc

let usage = """
    usage: simulate [--seeds A..B] [--progress FILE]
           simulate --seed N [--trace]

    Runs the seeds A to B (1..100), each a stream for a simulated day of 2,000 operations, and compares it with a model after
    each. With --progress, goes on where FILE says if that is in the range, and notes in it how far it is. --keep-going does not
    stop at a seed that fails.

    """

func fail(_ text: String) -> Never {
    var text = text
    text.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
    exit(2)
}

func run(_ seed: UInt64, traces: Bool) -> Bool {
    do {
        try Simulation(seed: seed, traces: traces).run()
        return true
    } catch {
        print("simulate: FAILED: \(error is Failure ? "\(error)" : "seed \(seed): \(error)")")
        fflush(nil)
        return false
    }
}

/// The seed behind the last one that went well.
func nextSeed(_ path: String) -> UInt64? {
    guard let file = fopen(path, "r") else { return nil }
    defer { fclose(file) }
    var next: UInt64 = 0
    return withUnsafeMutablePointer(to: &next) { place in
        withVaList([place]) { vfscanf(file, "%lu", $0) } == 1 ? place.pointee : nil
    }
}

func note(_ path: String, _ next: UInt64) {
    guard let file = fopen(path, "w") else { return }
    fputs("\(next)\n", file)
    fclose(file)
}

var first: UInt64 = 1, last: UInt64 = 100
var single: UInt64?
var traces = false, goesOn = false
var progress: String?
var arguments = CommandLine.arguments.dropFirst()
while let argument = arguments.popFirst() {
    switch argument {
    case "--seed":
        guard let value = arguments.popFirst().flatMap({ UInt64($0) }) else { fail(usage) }
        single = value
    case "--seeds":
        let ends = arguments.popFirst()?.split(separator: ".").compactMap { UInt64($0) } ?? []
        guard ends.count == 2, ends[0] <= ends[1] else { fail(usage) }
        (first, last) = (ends[0], ends[1])
    case "--progress":
        guard let path = arguments.popFirst() else { fail(usage) }
        progress = path
    case "--trace": traces = true
    case "--keep-going": goesOn = true
    case "--help", "-h":
        print(usage, terminator: "")
        exit(0)
    default: fail("simulate: what is \(argument)?\n\(usage)")
    }
}

if let single {
    let isGood = run(single, traces: traces)
    print("simulate: \(isGood ? 1 : 0) passed, \(isGood ? 0 : 1) failed")
    exit(isGood ? 0 : 1)
}
if let progress, let next = nextSeed(progress), next > first, next <= last + 1 { first = next }
var passed = 0, failed = 0
if first > last { print("simulate: the range is done") }
var seed = first
while seed <= last {
    if run(seed, traces: false) {
        passed += 1
        if let progress, failed == 0 { note(progress, seed + 1) }
    } else {
        failed += 1
        if !goesOn { break }
    }
    if seed % 100 == 0 {
        print("simulate: seed \(seed) of \(first)..\(last); next \(seed + 1)")
        fflush(nil)
    }
    seed += 1
}
print("simulate: \(passed) passed, \(failed) failed")
exit(failed == 0 ? 0 : 1)
