// How long a server takes from its start until its streams answer, with the page cache warm.

struct Recovery: Sendable {
    var streams = 1
    /// Over all streams.
    var messages = 1_000_000
    var payloadBytes = 1_024

    func run(_ context: RunContext) throws -> Measurement {
        guard let server = context.server else {
            throw BenchError.usage("js-recovery restarts the server: let bench start it with --start")
        }
        var progress = context.progress()
        try fill(context, &progress)
        var measurement = Measurement(workload: "recovery of \(messages) messages in \(streams) streams", unit: "messages")
        let stopped = try restart(server, kill: false)
        let killed = try restart(server, kill: true)
        progress?.clear()
        // What a server owes is the worse of the two: after a crash it must look at what it cannot trust.
        measurement.extras = [
            ("recovery_s", max(stopped, killed)), ("recovery_after_stop_s", stopped), ("recovery_after_kill_s", killed),
        ]
        measurement.rssBytes = server.probe.rssBytes
        measurement.rssPeakBytes = server.probe.rssPeakBytes
        return measurement
    }

    private func name(_ number: Int) -> String { "S\(number)" }
    private var perStream: Int { max(1, messages / streams) }

    private func fill(_ context: RunContext, _ progress: inout Progress?) throws {
        let api = try StreamAPI(context.target)
        for number in 0..<streams {
            var note: Progress? = streams == 1 ? progress : nil
            _ = try StreamFill.fill(
                context.target, api, stream: name(number), SubjectPlan(prefix: "bench.\(number)", subjects: 100),
                payloadBytes: payloadBytes, messages: perStream, &note)
            progress?.show(Double(number + 1) / Double(streams), "filling", nowNs: Clock.nowNs())
        }
    }

    /// Seconds from the start of the process until every stream has said that it holds what it held, and has shown
    /// its last message.
    private func restart(_ server: ServerProcess, kill: Bool) throws -> Double {
        let startNs = try server.restart(kill: kill)
        let api = try StreamAPI(server.target)
        for number in 0..<streams {
            try api.expect(perStream, in: name(number))
            let answer = try api.request("STREAM.MSG.GET.\(name(number))", .object([.init("seq", .number(perStream))]))
            guard answer["message"]?["seq"]?.number == Double(perStream) else {
                throw BenchError.mismatch("\(name(number)) does not show its last message after a restart")
            }
        }
        return Double(Clock.nowNs() - startNs) / 1e9
    }
}
