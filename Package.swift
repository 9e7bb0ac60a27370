// swift-tools-version: 6.2
import PackageDescription

// Warnings are errors where CI=1 is set (`make test` sets it), so that a newer
// toolchain's new warning never stops a user from building.
let strict = Context.environment["CI"] == "1"
let settings: [SwiftSetting] = strict ? [.treatAllWarnings(as: .error)] : []

// The simulators look inside the broker, so that they are built apart, for testing: scripts/simulate.sh and
// scripts/keyed_simulation.sh.
let simulates = Context.environment["SIMULATE"] == "1"
let simulators: [Target] = [
    .executableTarget(
        name: "simulate", dependencies: ["Broker", "Store", "StoreKit", "Wire"], path: "Tests/Simulate",
        swiftSettings: settings),
    .executableTarget(
        name: "keyed-simulation", dependencies: ["Broker", "Store", "StoreKit", "Wire"], path: "Tests/KeyedSimulation",
        swiftSettings: settings),
]

let package = Package(
    name: "Bellhop",
    products: [
        .executable(name: "brokerd", targets: ["brokerd"]),
        .executable(name: "bench", targets: ["bench"]),
    ],
    targets: [
        // The bridges to the system: what Swift's Glibc overlay lacks, password hashes, cryptography.
        .target(name: "CLinux"),
        .systemLibrary(name: "CCrypt", providers: [.apt(["libcrypt-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),

        // Imports run downwards only; docs/ARCHITECTURE.md says what each module owns.
        .target(name: "Wire", swiftSettings: settings),
        .target(name: "Locks", swiftSettings: settings),
        .target(name: "Reactor", dependencies: ["CLinux", "Locks"], swiftSettings: settings),
        .target(name: "Store", dependencies: ["Wire", "CLinux", "Locks"], swiftSettings: settings),
        .target(
            name: "Broker", dependencies: ["Wire", "Reactor", "Store", "Locks", "CLinux", "CCrypt", "COpenSSL"],
            swiftSettings: settings),
        .executableTarget(name: "brokerd", dependencies: ["Broker"], swiftSettings: settings),
        .executableTarget(
            name: "bench", dependencies: ["Wire", "Reactor", "CLinux"], path: "Benchmarks/bench", swiftSettings: settings),

        // Fuzzers as a library, so that `swift test` runs them briefly and the `fuzz` executable for as long as one likes.
        .target(
            name: "FuzzKit", dependencies: ["Wire", "Reactor", "Broker", "CLinux"], path: "Tests/FuzzKit",
            swiftSettings: settings),
        .executableTarget(name: "fuzz", dependencies: ["FuzzKit"], path: "Tests/Fuzz", swiftSettings: settings),
        .testTarget(name: "FuzzTests", dependencies: ["FuzzKit"], swiftSettings: settings),

        .testTarget(name: "WireTests", dependencies: ["Wire"], swiftSettings: settings),
        .testTarget(name: "ReactorTests", dependencies: ["Reactor"], swiftSettings: settings),
        // A disk that forgets, and the harness that crashes a store on it, for the tests and for the `crash` executable.
        .target(name: "StoreKit", dependencies: ["Store", "Wire"], path: "Tests/StoreKit", swiftSettings: settings),
        .executableTarget(
            name: "crash", dependencies: ["StoreKit"], path: "Tests/Crash",
            exclude: ["crash.py", "load.py", "model.py", "wire.py"],
            swiftSettings: settings),
        .testTarget(name: "StoreTests", dependencies: ["Store", "StoreKit", "CLinux"], swiftSettings: settings),
        .testTarget(name: "BrokerTests", dependencies: ["Broker", "StoreKit"], swiftSettings: settings),
        .testTarget(name: "BenchTests", dependencies: ["bench"], swiftSettings: settings),
    ] + (simulates ? simulators : []),
    swiftLanguageModes: [.v6]
)
