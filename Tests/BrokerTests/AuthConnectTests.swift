import Broker
import Testing
import Wire

private func connect(_ text: String) throws(ConnectError) -> ConnectOptions {
    var options = ConnectOptions()
    let bytes = Array(text.utf8)
    let error: ConnectError? = bytes.withUnsafeBytes {
        do throws(ConnectError) { try options.apply(ByteView($0)); return nil } catch { return error }
    }
    if let error { throw error }
    return options
}

@Test func authConnectReadsEveryField() throws {
    let options = try connect(
        """
        {"verbose":false,"pedantic":false,"echo":false,"headers":true,"no_responders":true,"tls_required":true,"protocol":1,
        "lang":"go","version":"1.2","name":"n","user":"u","pass":"p","auth_token":"t","nkey":"k","jwt":"j","sig":"s",
        "account":"a","new_account":true,"unknown":{"x":[1]}}
        """)
    #expect(!options.verbose && !options.pedantic && !options.echo && options.headers && options.noResponders)
    #expect(options.tlsRequired && options.protocol == 1 && options.lang == "go" && options.version == "1.2")
    #expect(options.name == "n" && options.user == "u" && options.password == "p" && options.token == "t")
    #expect(
        options.nkey == "k" && options.jwt == "j" && options.signature == "s" && options.account == "a" && options.newAccount)
}

@Test func authConnectDefaults() throws {
    let options = try connect("{}")
    #expect(options.verbose && options.pedantic && options.echo && !options.headers && !options.noResponders)
    #expect(options.protocol == 0 && options.refusal == nil)
    #expect(try connect("null") == options)
}

// Recorded from nats-server 2.15.1: each of these closes the connection without an -ERR.
@Test(arguments: [
    "", "[]", "true", "5", "\"x\"", #"{"verbose":1}"#, #"{"verbose":"true"}"#, #"{"protocol":"1"}"#, #"{"protocol":1.0}"#,
    #"{"protocol":1e0}"#, #"{"protocol":99999999999999999999}"#, #"{"name":5}"#, #"{"user":5}"#, #"{"jwt":false}"#,
    #"{"lang":["go"]}"#, #"{"import":5}"#, #"{"proxy_sig":5}"#, #"{"remote_account":5}"#, #"{"verbose":false}x"#, #"{"a":01}"#,
])
func authConnectRefuses(_ text: String) {
    #expect(throws: ConnectError.self) { try connect(text) }
}

@Test func authConnectReadsNamesAsGoDoes() throws {
    #expect(try !connect(#"{"VERBOSE":false}"#).verbose)
    #expect(try !connect("{\"verbo\u{17F}e\":false}").verbose)
    #expect(try connect(#"{"verbose":false,"verbose":true}"#).verbose)
    #expect(try !connect(#"{"verbose":false,"verbose":null}"#).verbose)
    #expect(try !connect(#"{"\u0076erbose":false}"#).verbose)
    #expect(try connect(#"{"nonce":5,"kind":5}"#) == ConnectOptions())
}

@Test func authConnectRefusals() throws {
    #expect(try connect(#"{"protocol":2}"#).refusal == .invalidProtocol)
    #expect(try connect(#"{"protocol":-1}"#).refusal == .invalidProtocol)
    #expect(try connect(#"{"no_responders":true}"#).refusal == .noRespondersNeedHeaders)
    #expect(try connect(#"{"no_responders":true,"headers":true}"#).refusal == nil)
    #expect(try connect(#"{"account":"x"}"#).refusal == .authorizationViolation)
    #expect(try connect(#"{"new_account":true}"#).refusal == .authorizationViolation)
    #expect(try connect(#"{"account":"","new_account":false}"#).refusal == nil)
    #expect("\(ConnectOptions.Refusal.invalidProtocol.errorText)" == "invalid client protocol")
}

@Test func authSecondConnectKeepsWhatItDoesNotName() throws {
    var options = try connect(#"{"verbose":false,"name":"a"}"#)
    try Array(#"{"name":"b"}"#.utf8).withUnsafeBytes { try options.apply(ByteView($0)) }
    #expect(!options.verbose && options.name == "b")
    let before = options
    #expect(throws: ConnectError.self) {
        try Array(#"{"name":"c","verbose":3}"#.utf8).withUnsafeBytes { try options.apply(ByteView($0)) }
    }
    #expect(options == before)
}
