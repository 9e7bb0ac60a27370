// Who a client is: CONNECT, the account it enters and leaves, and what a reload makes of both.

import Reactor
import Synchronization
import Wire

extension ClientConnection {
    /// CONNECT: who the client says it is, and what it wants. A slow proof is checked off the loop, and nothing is read meanwhile.
    func connect(_ text: ByteView) {
        var connect = options.asConnect
        do {
            try connect.apply(text)
        } catch {
            broker.log.debug("\(self.label) - CONNECT refused: \(error)")
            close(.parseError)
            return
        }
        options = SessionOptions(connect)
        switch settings.authenticator.authenticate(connect, nonce: nonce) {
        case .accepted(let identity):
            admit(identity)
        case .rejected:
            close(.authenticationFailure)
        case .needsSlowCheck(let check):
            phase = .checkingPassword
            loop.pauseReading(channel)
            let id = channel.pointee.id
            let clientID = clientID
            let mailbox = loop.mailbox
            let isQueued = broker.workers.run { [subscriber] in
                // Whoever has left needs no answer: a flood of logins must not outlive its clients.
                guard !subscriber.hasLeft.load(ordering: .relaxed) else { return }
                let verdict = check.run()
                mailbox.post { loop in
                    guard let router = loop.context as? Router, let connection = router.connections[clientID] else { return }
                    connection.passwordChecked(verdict)
                    if let channel = loop.channel(id) { loop.resumeReading(channel) }
                }
            }
            // Too many wait already: the client may come again when its time is up.
            if !isQueued { close(.authenticationTimeout) }
        }
    }

    private func passwordChecked(_ verdict: Authenticator.Verdict) {
        guard phase == .checkingPassword else { return }
        // A reload may have come while the hash was computed: who was known then must be known now.
        if case .accepted(let checked) = verdict, let identity = settings.authenticator.renew(checked) {
            admit(identity)
        } else {
            close(.authenticationFailure)
        }
    }

    private func admit(_ identity: Identity) {
        if hasConnected { dropSubscriptions() }
        enter(identity)
        setParserLimits()
        if phase == .ready { finishConnect() }
    }

    private func finishConnect() {
        if options.protocol > 1 { return close(.badClientProtocolVersion) }
        if options.noResponders && !(options.headers && settings.headers) { return close(.noRespondersRequiresHeaders) }
        publishCache?.pointee.forget()
        // Subscriptions carry copies of what CONNECT said: those that came before it are made anew.
        for subscription in subscriptions.all { renew(subscription) }
        hasConnected = true
        if options.verbose { reply("+OK\r\n") }
    }

    /// Belongs to an account from here on.
    func enter(_ identity: Identity) {
        guard let account = broker.account(named: identity.account) else {
            close(.missingAccount)
            return
        }
        if self.account !== account {
            leaveAccount()
            let limit = account.maxConnections.load(ordering: .relaxed)
            let connections = account.connections.wrappingAdd(1, ordering: .relaxed).newValue
            self.account = account
            trafficBefore = traffic
            index = account.index
            if limit >= 0 && connections > limit {
                close(.maximumAccountConnectionsExceeded)
                return
            }
            account.connectionsTotal.wrappingAdd(1, ordering: .relaxed)
        }
        apply(Authorization(identity))
        phase = .ready
        if let authTimer { loop.cancel(authTimer) }
        authTimer = nil
    }

    /// Takes everything out of the account's index, which the connection does not know any more afterwards.
    func leaveAccount() {
        guard let account else { return }
        dropSubscriptions()
        publishCache?.pointee.forget()
        account.connections.wrappingSubtract(1, ordering: .relaxed)
        router.formerTraffic[account.name, default: Traffic()].add(accountTraffic)
        self.account = nil
        index = nil
    }

    private func apply(_ new: Authorization) {
        authorization = new
        subscriber.set(new)
    }

    /// New settings are in force: is this client still who it was, and what may it do now?
    func reauthorize() {
        if phase == .checkingPassword && account != nil {
            // It is logging in anew while its old login may be void: it may come back.
            close(.authenticationFailure)
            return
        }
        guard phase == .ready else { return }
        guard let renewed = settings.authenticator.renew(authorization.identity),
            broker.account(named: renewed.account) === account
        else {
            close(.authenticationFailure)
            return
        }
        apply(authorization.renewed(as: renewed))
        publishCache?.pointee.forget()
        for subscription in subscriptions.all {
            // Thousands of refusals may be more than the socket takes.
            if phase == .closed { return }
            let subject = Subscription.subject(subscription), queue = Subscription.queue(subscription)
            switch authorization.subscribe(subject, queue: queue) {
            case .denied:
                let using = queue.isEmpty ? "" : " using queue \"\(queue.string)\""
                let sid = Subscription.sid(subscription).string
                reply("-ERR 'Permissions Violation for Subscription to \"\(subject.string)\"\(using) (sid \"\(sid)\")'\r\n")
                remove(subscription)
            case .allowed, .filtered:
                renew(subscription)
            }
        }
    }
}
