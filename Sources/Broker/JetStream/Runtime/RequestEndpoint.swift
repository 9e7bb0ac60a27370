// What clients ask of one stream: finds out which operation is meant and hands it to the stream or to its consumers.

import Reactor
import Wire

/// On the stream's loop. Requests come here from `StreamAdmin`, in the order in which each client sent them.
final class RequestEndpoint: Endpoint {
    private unowned let runtime: StreamRuntime

    init(_ runtime: StreamRuntime) { self.runtime = runtime }

    func receive(_ message: Message, from origin: Origin) {
        guard case .stream(_, let kind) = AccountRequests.parse(message.subject) else { return }
        runtime.handle(APICall(message, kind, runtime.account, client: origin.clientID))
    }
}
