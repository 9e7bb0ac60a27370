// The API of an account: answers what concerns all of its streams, and passes on what is about one of them.

import Glibc
import Reactor
import Store
import Synchronization
import Wire

/// One per loop. Requests are parsed on the loop of the client that sent them; those that change which streams there are go to
/// the account's home loop (`StreamLifecycle`), those about one stream to that stream's loop.
final class StreamAdmin {
    let shared: JetStream
    unowned let router: Router
    let lifecycle: StreamLifecycle

    init(_ shared: JetStream, router: Router) {
        self.shared = shared
        self.router = router
        lifecycle = StreamLifecycle(shared, router: router)
    }

    /// A request to `$JS.API.>`, on whatever loop its client lives.
    func receive(_ message: Message, for account: JetStreamAccount) {
        let request = AccountRequests.parse(message.subject)
        if case .unknown = request { return }
        let client = router.origin.clientID
        func call(_ kind: APIResponse.Kind) -> APICall { APICall(message, kind, account, client: client) }
        // A consumer that is not there does not answer CONSUMER.RESET, whatever it asks for: its stream looks at that.
        if message.headerBytes > 0, let kind = request.kind, kind != .consumerReset,
            APIMetadata.isBeyond(PublishHeaders(message.headers).requiredAPILevel)
        {
            return router.refuse(call(kind), .requiredAPILevel)
        }
        switch request {
        case .unknown: return
        case .accountInfo: router.respond(call(.accountInfo), APIResponse.account(accountInfo(account)))
        case .streamNames: names(call(.streamNames))
        case .streamList: list(call(.streamList))
        case .clusterOnly(let kind): router.refuse(call(kind), .clusterRequired)
        case .stream(let name, let kind): forward(message, to: name, kind, account)
        case .streamCreate: passHome(call(.streamCreate))
        case .streamUpdate: passHome(call(.streamUpdate))
        case .streamDelete: passHome(call(.streamDelete))
        case .streamRestore: passHome(call(.streamRestore))
        }
    }

    private func passHome(_ call: APICall) {
        if call.account.home == router.loop.index {
            lifecycle.submit(call)
        } else {
            router.loop.group.mailboxes[call.account.home].post { loop in
                (loop.context as? Router)?.streams?.admin.lifecycle.submit(call)
            }
        }
    }

    /// The mail keeps the order of one client's publishes and requests.
    private func forward(_ message: Message, to name: ByteView, _ kind: APIResponse.Kind, _ account: JetStreamAccount) {
        guard let entry = account.stream(name.string) else {
            return router.refuse(
                APICall(message, kind, account, client: router.origin.clientID), account.offline(name.string) ?? .streamNotFound
            )
        }
        router.endpoints.stage(
            to: entry.requests, from: router.origin, subject: message.subject, reply: message.reply,
            headerBytes: message.headerBytes, message.payload, .empty)
    }

    // MARK: What concerns the account

    private func accountInfo(_ account: JetStreamAccount) -> AccountInfo {
        var info = AccountInfo()
        info.domain = shared.options.domain ?? ""
        info.usage = account.usage
        info.apiTotal = account.requestsTotal.load(ordering: .relaxed)
        info.apiErrors = account.requestErrors.load(ordering: .relaxed)
        return info
    }

    private func matching(_ subject: String, _ account: JetStreamAccount) -> [StreamEntry] {
        let all = account.all
        if subject.isEmpty { return all }
        return Array(subject.utf8).withUnsafeBytes { wanted in
            all.filter { entry in
                entry.config.subjects.contains { held in
                    Array(held.utf8).withUnsafeBytes { Subject.overlaps(ByteView($0), ByteView(wanted)) }
                }
            }
        }
    }

    private func names(_ call: APICall) {
        do throws(APIError) {
            let request = try call.decode(StreamNamesRequest.self, isStrict: shared.options.isStrict)
            let found = matching(request.subject, call.account).map(\.config.name)
            let page = Page(total: found.count, offset: request.offset, limit: Page.namesMax)
            router.respond(call, APIResponse.names(.streamNames, page: page, Array(found[page.range])))
        } catch {
            router.refuse(call, error)
        }
    }

    private func list(_ call: APICall) {
        do throws(APIError) {
            let request = try call.decode(StreamListRequest.self, isStrict: shared.options.isStrict).names
            let found = matching(request.subject, call.account)
            let page = Page(total: found.count, offset: request.offset, limit: Page.listMax)
            let mailbox = router.loop.mailbox
            JetStreamLoop.gatherInfo(of: Array(found[page.range]), router.loop.group) { infos in
                mailbox.post { loop in
                    (loop.context as? Router)?.respond(call, APIResponse.streamList(page: page, infos.map(\.listed)))
                }
            }
        } catch {
            router.refuse(call, error)
        }
    }
}

extension Router {
    /// Answers an API request, and tells whoever audits them.
    /// Sends the answer to a request, which counts from here on.
    func respond(_ call: APICall, _ response: [UInt8]) {
        call.account.requestsTotal.wrappingAdd(1, ordering: .relaxed)
        if APIResponse.isFailure(response, call.kind) { call.account.requestErrors.wrappingAdd(1, ordering: .relaxed) }
        let index = call.account.account.index
        if !call.reply.isEmpty {
            call.reply.withUnsafeBytes { reply in
                response.withUnsafeBytes { response in
                    _ = publish(index, subject: ByteView(reply), reply: .empty, headers: .empty, payload: ByteView(response))
                }
            }
        }
        APIAudit.publish(call, response, router: self)
    }

    func refuse(_ call: APICall, _ error: APIError) {
        respond(call, APIResponse.failure(call.kind, error))
    }
}
