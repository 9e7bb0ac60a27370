// Agreement with a real server: the same files accepted, refused with the same words, and the same digests.

import Testing

@testable import Broker

/// Where the verdict is the same and the words or the digest are not, with the reason.
private let differences: [(text: String, reason: String)] = [
    ("server_name: (\nblock\n)", "at the end of a file nats-server takes the closing parenthesis for text"),
    ("accounts { A { }", "Bellhop names the end of the file where nats-server prints a NUL"),
    ("authorization { , }", "a key without value: nats-server attaches it to the outer map"),
    ("authorization { token }", "a key without value, likewise"),
    ("client_advertise: \"a:b:c\"", "found when the file is checked, not when the server listens"),
    (
        "accounts { A { users: [{user: a, password: b}] }, B { users: [{user: a, password: b}] } }",
        "nats-server's order is random"
    ),
    (
        "accounts { A { users: [{user: c, password: b}] } }\nauthorization { user: a, password: b }",
        "nats-server's order is random"
    ),
]

/// The words of a message without `a.conf:1:24: `. Mistakes in an array's element are reported where it begins;
/// nats-server reports its last field or nothing.
private func words(_ message: String) -> Substring {
    guard message.hasPrefix("a.conf:"), let space = message.firstIndex(of: " ") else { return message[...] }
    return message[message.index(after: space)...]
}

@Suite struct ConfigurationCorpusTests {
    /// What Bellhop says to a text: nil and its digest where it accepts.
    private func verdict(_ text: String) -> (messages: [String], digest: String) {
        do throws(ConfigurationError) {
            let map = try ConfigurationParser.parse(Array(text.utf8), file: "a.conf")
            let digest = ConfigurationDigest.of(map)
            let reader = OptionsReader(map, file: "a.conf")
            // `-t` takes warnings for errors.
            let mistakes = reader.warnings + reader.errors
            if !mistakes.isEmpty { return (mistakes.map(\.description), digest) }
            let contradiction = OptionsValidator.contradiction(in: reader.options)
            return (contradiction.map { [$0.description] } ?? [], digest)
        } catch {
            return ([error.description], "")
        }
    }

    @Test(arguments: configurationCorpus) func agrees(_ expected: ConfigurationVerdict) {
        let actual = verdict(expected.text)
        #expect(
            actual.messages.isEmpty == expected.isAccepted, "\(expected.text) → \(actual.messages), wanted \(expected.message)")
        if differences.contains(where: { $0.text == expected.text }) { return }
        if expected.isAccepted {
            #expect(actual.digest == expected.digest, "\(expected.text)")
        } else if let first = actual.messages.first {
            let wanted = expected.message.split(separator: "\n").first.map(String.init) ?? ""
            if expected.text.contains("[{") {
                #expect(words(first) == words(wanted), "\(expected.text)")
            } else {
                #expect(first == wanted, "\(expected.text)")
            }
        }
    }
}
