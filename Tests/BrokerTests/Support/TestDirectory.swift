// A configuration file that a test rewrites, in a directory of its own that goes with the test.

import Glibc
import StoreKit

@testable import Broker

final class TestDirectory: Sendable {
    private let temporary = TemporaryDirectory()
    var path: String { temporary.path }
    var file: String { path + "/broker.conf" }

    /// A broker with this file. It listens where the system likes and logs to `broker.log` beside the file.
    func broker(_ text: String) throws -> TestBroker {
        try write(text)
        return try TestBroker(configuration: ConfigurationLoader(file: file).load())
    }

    /// Rewrites the file, has the broker read it, and waits until every loop has taken it over.
    func reload(_ server: TestBroker, _ text: String) throws {
        try write(text)
        server.broker.reload()
        _ = server.onEveryLoop { _ in true }
    }

    /// What the broker has logged.
    func log() throws -> String { String(decoding: try ConfigurationLoader.readFile(path + "/broker.log"), as: UTF8.self) }

    func write(_ text: String) throws {
        guard let output = fopen(file, "w") else { throw TestFailure("cannot write \(file)") }
        fputs("host: \"127.0.0.1\"\nport: -1\nlog_file: \"\(path)/broker.log\"\n\(text)\n", output)
        fclose(output)
    }
}
