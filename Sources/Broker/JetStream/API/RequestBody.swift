// The JSON of an API request, read strictly or not, as nats-server's handlers do it.

import Wire

/// How request bodies are read. Both ways are Go's, and differ in what they let pass and in their words.
enum RequestBody {
    /// As most of the API reads its requests (`jetstream { strict: true }`): an unknown member is an error, an empty body is an
    /// empty request, and a second document is read over the first.
    static func decode<Request: JSONReadable>(
        _ body: ByteView, as type: Request.Type = Request.self, isStrict: Bool = true
    ) throws(APIError) -> Request {
        var request = Request()
        var syntax = JSONSyntax(body)
        while true {
            syntax.skipWhitespace()
            if syntax.isAtEnd { return request }
            let start = syntax.index
            do throws(JSONSyntax.Failure) {
                try syntax.skipValue()
            } catch {
                throw .invalidJSON(error.offset.map { "\(error.text) at offset \($0)" } ?? error.text)
            }
            try read(&request, ByteView(body.base + start, syntax.index - start), isStrict: isStrict)
        }
    }

    /// As the rest reads them (CONSUMER.UNPIN, CONSUMER.RESET, pull requests, direct gets): exactly one document, unknown
    /// members pass.
    static func decodeLenient<Request: JSONReadable>(
        _ body: ByteView, as type: Request.Type = Request.self
    ) throws(APIError) -> Request {
        var request = Request()
        var syntax = JSONSyntax(body)
        do throws(JSONSyntax.Failure) {
            try syntax.skipValue()
            syntax.skipWhitespace()
            if !syntax.isAtEnd { throw syntax.unexpected("after top-level value") }
        } catch {
            throw .invalidJSON(error.offset == nil ? "unexpected end of JSON input" : error.text)
        }
        try read(&request, body, isStrict: false)
        return request
    }

    /// Whether a body is to be read at all by the requests whose body is optional: anything else counts as none.
    static func isObjectOrArray(_ body: ByteView) -> Bool {
        for byte in body.buffer {
            switch byte {
            case 0x20, 0x09, 0x0A, 0x0D: continue
            default: return byte == UInt8(ascii: "{") || byte == UInt8(ascii: "[")
            }
        }
        return false
    }

    /// Whether a body is none, or an object without members: what DELETE and INFO of a consumer insist on, and what those
    /// refuse that cannot do without a body.
    static func isEmpty(_ body: ByteView) -> Bool {
        var marks: [UInt8] = []
        for byte in body.buffer {
            switch byte {
            case 0x20, 0x09, 0x0A, 0x0D: continue
            default: marks.append(byte)
            }
            if marks.count > 2 { return false }
        }
        return body.isEmpty || marks == Array("{}".utf8)
    }

    /// A request whose body is optional: what is neither object nor array counts as none.
    static func decodeOptional<Request: JSONReadable>(
        _ body: ByteView, as type: Request.Type = Request.self, isStrict: Bool = true
    ) throws(APIError) -> Request {
        isObjectOrArray(body) ? try decode(body, isStrict: isStrict) : Request()
    }

    private static func read<Request: JSONReadable>(
        _ request: inout Request, _ document: ByteView, isStrict: Bool
    ) throws(APIError) {
        let value: JSONValue
        do throws(JSONError) {
            value = try JSONValue.parse(document)
        } catch {
            // The syntax is right, so that only our limits are left.
            throw .invalidJSON("the request is too large")
        }
        try JSONField(value: value, path: "", isStrict: isStrict).read(&request)
    }
}
