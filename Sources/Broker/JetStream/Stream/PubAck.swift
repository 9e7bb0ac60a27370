// What a publisher is answered: the ack's JSON, or the error's.

import Wire

/// Pieces of the answer to a publish. An ack is `prefix`, the sequence and a suffix.
enum PubAck {
    static func prefix(stream: String, domain: String) -> [UInt8] {
        var json = JSONWriter()
        json.beginObject()
        json.member("stream", stream)
        if !domain.isEmpty { json.member("domain", domain) }
        var bytes = json.bytes
        bytes.append(contentsOf: Array(",\"seq\":".utf8))
        return bytes
    }

    static var plainEnd: ByteView { view("}") }
    static var duplicateEnd: ByteView { view(",\"duplicate\": true}") }

    private static func view(_ text: StaticString) -> ByteView { ByteView(text.utf8Start, text.utf8CodeUnitCount) }

    static func failure(_ error: APIError, stream: String) -> [UInt8] {
        var json = JSONWriter()
        json.beginObject()
        json.name("error")
        error.write(to: &json)
        json.member("stream", stream)
        json.member("seq", 0)
        json.endObject()
        return json.take()
    }
}
