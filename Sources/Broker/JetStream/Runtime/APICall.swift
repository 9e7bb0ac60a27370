// One API request on its way between loops: what was asked, and where the answer goes.

import Locks
import Reactor
import Wire

/// Copied out of the read buffer, since answers take their time.
struct APICall: Sendable {
    let account: JetStreamAccount
    let kind: APIResponse.Kind
    let subject: [UInt8]
    let reply: [UInt8]
    /// The header block and the body behind it.
    let headers: [UInt8]
    let body: [UInt8]
    /// The connection that asked; 0 is the broker itself.
    let clientID: UInt64
    /// What is known of it, where somebody wants to hear that.
    var client: ClientSnapshot?

    init(_ message: Message, _ kind: APIResponse.Kind, _ account: JetStreamAccount, client: UInt64) {
        self.account = account
        clientID = client
        self.kind = kind
        subject = message.subject.bytes
        reply = message.reply.bytes
        headers = message.headers.bytes
        body = message.body.bytes
    }

    /// The last token of the subject: the stream's name, in requests about a stream.
    var lastToken: String {
        let start = subject.lastIndex(of: UInt8(ascii: ".")).map { $0 + 1 } ?? 0
        return String(decoding: subject[start...], as: UTF8.self)
    }

    /// It asks for a higher API level than this server has.
    var asksForMore: Bool {
        headers.withUnsafeBytes { APIMetadata.isBeyond(PublishHeaders(ByteView($0)).requiredAPILevel) }
    }

    func decode<Request: JSONReadable>(_ type: Request.Type, isStrict: Bool) throws(APIError) -> Request {
        do {
            return try body.withUnsafeBytes { try RequestBody.decode(ByteView($0), as: type, isStrict: isStrict) }
        } catch let error as APIError {
            throw error
        } catch {
            throw .badRequest
        }
    }
}

extension Message {
    /// The header block at the start of the payload; empty without one.
    var headers: ByteView { headerBytes > 0 ? ByteView(payload.base, headerBytes) : .empty }
    /// What is behind the header block.
    var body: ByteView {
        headerBytes > 0 ? ByteView(payload.base + headerBytes, payload.count - headerBytes) : payload
    }
}

/// Collects one part from each of several loops, and hands all of them on when the last is there.
final class Collector<Part: Sendable>: Sendable {
    private let state: Locked<(parts: [Part], missing: Int)>
    private let finish: @Sendable ([Part]) -> Void

    init(_ count: Int, finish: @escaping @Sendable ([Part]) -> Void) {
        state = Locked(([], count))
        self.finish = finish
    }

    func add(_ part: Part) {
        let complete = state.withLock { state -> [Part]? in
            state.parts.append(part)
            state.missing -= 1
            return state.missing == 0 ? state.parts : nil
        }
        if let complete { finish(complete) }
    }
}
