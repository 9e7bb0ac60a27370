import Testing

@testable import Wire

private func parse(_ text: String) throws -> JSONValue { try JSONValue.parse(Array(text.utf8)) }
private func text(_ value: JSONValue, _ style: JSONWriter.Style = .compact) -> String {
    String(decoding: value.serialized(style), as: UTF8.self)
}

@Test func jsonKeepsOrderNumbersAndUnknownMembers() throws {
    let source = #"{"z":1.50,"a":[true,false,null],"big":123456789012345678901234567890,"e":1E+2,"a":{}}"#
    #expect(text(try parse(source)) == source)
}

@Test func jsonAcceptsWhatGoAccepts() throws {
    #expect(try parse(" \t\r\n{ \"a\" : [ 1 , 2 ] } ")["a"] == .array([.int(1), .int(2)]))
    #expect(try parse(#""\u0041\n\/\"\\\b\f\r\t""#).string == "A\n/\"\\\u{08}\u{0C}\r\t")
    #expect(try parse(#""\ud83d\ude00""#).string == "😀")
    #expect(try parse(#""\ud800""#).string == "\u{FFFD}")
    #expect(try parse(#""\ud800\u0041""#).string == "\u{FFFD}A")
    #expect(try parse(#""\ud800\ud83d\ude00""#).string == "\u{FFFD}😀")
    #expect(try parse(#""\udc00x""#).string == "\u{FFFD}x")
    #expect(try JSONValue.parse([0x22, 0xFF, 0x22]).string == "\u{FFFD}")
    #expect(try parse("-0").int == 0)
    #expect(try parse("-0.5e-3").number?.double == -0.0005)
}

@Test(arguments: [
    "", " ", "{", "[", "[1,", "[1,]", "{\"a\"", "{\"a\":", "{\"a\":1,}", "{a:1}", "{'a':1}", "{1:2}", "01", "1.", ".5", "-",
    "+1", "1e", "1e+",
    "nul", "True", "\"a", "\"\\", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"a\tb\"", "{}x", "[]]", "1 2", "\u{FEFF}{}", "NaN",
    "[1 2]", "{\"a\" 1}",
    "\"\\ud800\\u12", "\"\\ud800\\",
])
func jsonRefusesWhatGoRefuses(_ source: String) {
    #expect(throws: JSONError.self) { try parse(source) }
}

@Test func jsonLimits() throws {
    func nested(_ depth: Int) -> [UInt8] {
        Array(repeating: UInt8(ascii: "["), count: depth) + Array(repeating: UInt8(ascii: "]"), count: depth)
    }
    var limits = JSONLimits()
    _ = try JSONValue.parse(nested(limits.depthMax))
    #expect(throws: JSONError(reason: .tooDeep, offset: 256)) { try JSONValue.parse(nested(257)) }
    #expect(throws: JSONError.self) { try JSONValue.parse(nested(100_000)) }
    limits.valuesMax = 3
    #expect(throws: JSONError(reason: .tooManyValues, offset: 5)) { try JSONValue.parse(Array("[1,2,3]".utf8), limits: limits) }
    limits.bytesMax = 3
    #expect(throws: JSONError(reason: .tooLong, offset: 0)) { try JSONValue.parse(Array("1234".utf8), limits: limits) }
}

@Test func jsonNamesAreFoundInAnyCase() throws {
    let value = try parse(#"{"Verbose":1,"VERBOSE":2,"other":3}"#)
    #expect(value["verbose"]?.int == 2)
    #expect(JSONObject.sameName("verbo\u{17F}e", "verbose"))
    #expect(JSONObject.sameName("\u{212A}ey", "KEY"))
    #expect(!JSONObject.sameName("é", "É"))
    #expect(!JSONObject.sameName("ab", "abc"))
    var object = try #require(value.object)
    object["verBose"] = nil
    #expect(object.members.map(\.name) == ["other"])
    object["OTHER"] = .null
    object["new"] = .bool(true)
    #expect(text(.object(object)) == #"{"other":null,"new":true}"#)
}

@Test func jsonIntegersAreStrict() throws {
    #expect(try parse("1.0").int == nil)
    #expect(try parse("1e0").int == nil)
    #expect(try parse("9223372036854775807").int64 == .max)
    #expect(try parse("9223372036854775808").int64 == nil)
    #expect(try parse("18446744073709551615").uint64 == .max)
}

@Test func jsonWriterWritesBothStyles() {
    var writer = JSONWriter(style: .pretty)
    writer.beginObject()
    writer.member("a", Int.min)
    writer.member("s", "q\"\\\n\u{01}é😀")
    writer.name("list")
    writer.beginArray()
    writer.value(UInt64.max)
    writer.value(1.5)
    writer.value(Double.infinity)
    writer.endArray()
    writer.name("none")
    writer.beginArray()
    writer.endArray()
    writer.name("empty")
    writer.beginObject()
    writer.endObject()
    writer.endObject()
    #expect(
        String(decoding: writer.bytes, as: UTF8.self) == """
            {
              "a": -9223372036854775808,
              "s": "q\\"\\\\\\n\\u0001é😀",
              "list": [
                18446744073709551615,
                1.5,
                null
              ],
              "none": [],
              "empty": {}
            }
            """)
}

@Test func jsonSurvivesFuzzing() { fuzzJSON(seed: 2, rounds: 1_000) }

/// Random values must survive writing and reading; damaged texts must be read or refused, never trap.
/// A fuzz driver runs it for longer.
func fuzzJSON(seed: UInt64, rounds: Int) {
    var random = SeededRandom(seed: seed)
    for round in 0..<rounds {
        let value = randomJSON(&random, depth: 0)
        for style in [JSONWriter.Style.compact, .pretty] {
            var bytes = value.serialized(style)
            #expect((try? JSONValue.parse(bytes)) == value, "seed \(seed), round \(round)")
            for _ in 0..<Int.random(in: 1...3, using: &random) where !bytes.isEmpty {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: place)
                default: bytes.insert(Array("{}[]\",:\\u0e-.".utf8).randomElement(using: &random) ?? 0, at: place)
                }
            }
            if let damaged = try? JSONValue.parse(bytes) {
                #expect((try? JSONValue.parse(damaged.serialized(style))) == damaged, "seed \(seed), round \(round)")
            }
        }
    }
}

func randomJSON(_ random: inout SeededRandom, depth: Int) -> JSONValue {
    switch Int.random(in: 0..<(depth > 4 ? 5 : 8), using: &random) {
    case 0: return .null
    case 1: return .bool(Bool.random(using: &random))
    case 2: return .int64(Int64.random(in: .min ... .max, using: &random))
    case 3: return JSONNumber(Double(bitPattern: random.next())).map(JSONValue.number) ?? .null
    case 4, 5: return .string(randomText(&random))
    case 6: return .array((0..<Int.random(in: 0...4, using: &random)).map { _ in randomJSON(&random, depth: depth + 1) })
    default:
        return .object(
            JSONObject(
                (0..<Int.random(in: 0...4, using: &random)).map { _ in
                    JSONObject.Member(randomText(&random), randomJSON(&random, depth: depth + 1))
                }))
    }
}

private func randomText(_ random: inout SeededRandom) -> String {
    var text = ""
    for _ in 0..<Int.random(in: 0...6, using: &random) {
        let top: UInt32 = [0x20, 0x7F, 0x7FF, 0x10FFFF].randomElement(using: &random) ?? 0
        if let scalar = Unicode.Scalar(UInt32.random(in: 0...top, using: &random)) { text.unicodeScalars.append(scalar) }
    }
    return text
}
