// Where a stream is in the subject index: what it captures, and direct gets.

import Reactor
import Wire

/// Owned by the stream's loop.
final class StreamSubjects {
    private unowned let router: Router
    private let index: SubjectIndex
    private var captured: [EndpointSubscription] = []
    private var services: [EndpointSubscription] = []

    init(_ router: Router, _ index: SubjectIndex) {
        self.router = router
        self.index = index
    }

    /// Listens to what a configuration says, and no longer to what an earlier one said.
    func serve(_ config: StreamConfig, _ runtime: StreamRuntime) {
        let subjects = Set(config.subjects)
        captured.removeAll { subscription in
            guard !subjects.contains(subscription.subject) else { return false }
            subscription.end()
            return true
        }
        let held = Set(captured.map(\.subject))
        for subject in config.subjects where !held.contains(subject) {
            captured.append(
                EndpointSubscription(
                    subject, router: router, index: index, receiver: runtime, isPrompt: runtime.answersAtOnce))
        }
        for subscription in services { subscription.end() }
        services = []
        if config.allowDirect { serveDirectGets(of: config.name, runtime) }
        if config.mirrorDirect, let origin = config.mirror, origin.external == nil { serveDirectGets(of: origin.name, runtime) }
    }

    /// Of this stream, or of the one that it mirrors, while that one does not answer itself: it is never behind.
    private func serveDirectGets(of name: String, _ runtime: StreamRuntime) {
        let isOwn = name == runtime.entry.config.name
        for subject in ["$JS.API.DIRECT.GET.\(name)", "$JS.API.DIRECT.GET.\(name).>"] {
            services.append(
                EndpointSubscription(subject, router: router, index: index) { [unowned runtime] message, _ in
                    if !isOwn && runtime.account.stream(name)?.config.allowDirect == true { return }
                    runtime.stream?.directGet(message, of: name)
                    runtime.touch()
                })
        }
    }

    func end() {
        for subscription in captured + services { subscription.end() }
        captured = []
        services = []
    }
}
