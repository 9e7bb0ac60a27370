// Header blocks that are made for one delivery: the stored one with a line or two more.

import Glibc
import Wire

/// A buffer that keeps its room.
struct HeaderScratch: ~Copyable {
    private var buffer: UnsafeMutablePointer<UInt8>
    private var capacity = 256

    init() { buffer = .allocate(capacity: capacity) }
    deinit { buffer.deallocate() }

    /// The stored block with what a delivery adds. Valid until the next call.
    ///
    /// - Parameters:
    ///   - payloadBytes: the size of a payload that is left out.
    ///   - pinID: the pin of the client that gets it, empty for one without.
    mutating func extended(_ headers: ByteView, payloadBytes: Int?, pinID: String?) -> ByteView {
        let needed = headers.count + (pinID?.utf8.count ?? 0) + 128
        if needed > capacity {
            buffer.deallocate()
            capacity = needed * 2
            buffer = .allocate(capacity: capacity)
        }
        var encoder = Encoder(buffer)
        if headers.count >= 2 {
            // Without the empty line at its end.
            encoder.put(ByteView(headers.base, headers.count - 2))
        } else {
            encoder.put("NATS/1.0\r\n")
        }
        if let payloadBytes {
            encoder.put("Nats-Msg-Size: ")
            encoder.put(decimal: payloadBytes)
            encoder.putLineEnd()
        }
        if let pinID {
            encoder.put("Nats-Pin-Id: ")
            for byte in pinID.utf8 { encoder.put(byte) }
            encoder.putLineEnd()
        }
        encoder.putLineEnd()
        return ByteView(buffer, encoder.cursor - buffer)
    }
}
