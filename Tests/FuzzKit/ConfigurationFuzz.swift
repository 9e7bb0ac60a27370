// Configuration files: whatever the bytes, they end in options or in an error that says something.

import Broker
import Glibc

enum ConfigurationFuzz {
    private static let pieces = [
        "{", "}", "[", "]", "(", ")", ":", "=", ",", ";", "\n", "\r\n", " ", "\t", "#", "//", "'", "\"", "\\", "\\x4", "$",
        "$a", "$LOOP",
        "$2a$", "include ", "include \"b.conf\"", "-", ".", "0", "9", "1k", "1kib", "9e", "1.5", "true", "off", "\u{A0}", "é",
        "\0", "(\n",
        "\n)\n", "a", "port", "port: 4222\n", "max_payload: 1MB\n", "users", "accounts {", "authorization {", "permissions",
        "publish: [\"a.>\"]", "user: a, password: b", "no_auth_user: a\n", "\"1h\"", "write_deadline: ", "9223372036854775807",
        "-9223372036854775808", "99999999999999999999e", "{users: [{user: a, password: b}]}",
    ]

    @Sendable static func iterate(_ random: inout SeededRandom) throws(FuzzFailure) {
        var text: [UInt8] = []
        if random.once(in: 5) {
            text = random.bytes(random.below(80))
        } else {
            for _ in 0..<random.below(30) { text += Array(random.pick(pieces).utf8) }
        }
        if random.once(in: 200) { text = Array(String(repeating: random.pick(pieces), count: 3_000).utf8) }
        let path = "/tmp/bellhop-fuzz-\(getpid()).conf"
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        guard file >= 0, text.withUnsafeBytes({ write(file, $0.baseAddress, $0.count) }) == text.count else {
            throw FuzzFailure("cannot write \(path)")
        }
        close(file)
        defer { unlink(path) }
        let loader = ConfigurationLoader(file: path, environment: ["LOOP": "$LOOP", "a": "[1, {c: 2}]"])
        let first: Options
        do throws(ConfigurationFailure) {
            first = try loader.load().options
        } catch {
            try require(
                !error.messages.isEmpty && error.messages.allSatisfy { !$0.isEmpty }, "an error without words: \(shown(text))")
            return
        }
        let second = (try? loader.load())?.options
        try require(first == second, "read differently: \(shown(text))")
    }
}
