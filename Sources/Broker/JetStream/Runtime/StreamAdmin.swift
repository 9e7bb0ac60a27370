// The API of an account: answers what concerns all of its streams, and creates, changes and deletes them.

import Glibc
import Reactor
import Store
import Synchronization
import Wire

/// One per loop. Requests are parsed on the loop of the client that sent them; those that change which streams there are go to
/// the account's home loop, which carries out one after the other; those about one stream go to its loop.
final class StreamAdmin {
    let shared: JetStream
    unowned let router: Router
    /// Requests that wait on an account's home loop for the one before them.
    private var queues: [Int: AdminQueue] = [:]

    init(_ shared: JetStream, router: Router) {
        self.shared = shared
        self.router = router
    }

    // MARK: Receiving

    /// A request to `$JS.API.>`, on whatever loop its client lives.
    func receive(_ message: Message, for account: JetStreamAccount) {
        let request = AccountRequests.parse(message.subject)
        if case .unknown = request { return }
        account.requestsTotal.wrappingAdd(1, ordering: .relaxed)
        switch request {
        case .unknown: return
        case .accountInfo: respond(message, account, APIResponse.account(info(of: account)))
        case .streamNames: respond(message, account) { () throws(APIError) in try names(message, account) } kind: { .streamNames }
        case .streamList: list(message, account)
        case .clusterOnly(let kind): respond(message, account, kind, .clusterRequired)
        case .stream(let name): forward(message, to: name.string, account)
        case .streamCreate, .streamUpdate, .streamDelete, .streamRestore: passHome(message, account)
        }
    }
}
