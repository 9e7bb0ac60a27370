// A consumer filtered to one of very many subjects, beside the same in a stream of ten: what the many cost.

struct FilteredConsume: Sendable {
    /// Subjects of the large stream.
    var subjects = 100_000
    /// Messages that the filter lets through: every tenth of each stream's.
    var matches = 50_000
    private static let stride = 10
    private static let fewSubjects = 10

    func run(_ context: RunContext) throws -> Measurement {
        let api = try StreamAPI(context.target)
        var progress = context.progress()
        let few = try Side(context, api, "FEW", FilteredConsume.fewSubjects, matches, &progress)
        let many = try Side(context, api, "MANY", subjects, matches, &progress)
        // In turns, so that what the machine does meanwhile falls on both.
        var number = 0
        let manyRounds = many.rounds
        let fewRounds = few.rounds
        try manyRounds.repeatWhileTime { round in
            try few.round(number, counts: round > 0, &progress)
            try many.round(number + 1, counts: round > 0, &progress)
            number += 2
        }
        progress?.clear()
        var measurement = manyRounds.measurement("filtered to one of \(subjects) subjects")
        let fewResult = fewRounds.measurement("few")
        measurement.extras = [
            ("few_subjects_rate", fewResult.rate), ("rate_of_few_subjects", measurement.rate / fewResult.rate),
            ("fill_rate", many.fillRate), ("fill_rate_of_few_subjects", many.fillRate / few.fillRate),
        ]
        if let seconds = fewResult.serverSecondsPerMillion {
            measurement.extras.append(("few_subjects_cpu_s_per_million", seconds))
        }
        return measurement
    }

    /// One of the two streams.
    private final class Side {
        let rounds: Rounds
        let fillRate: Double
        private let name: String
        private let api: StreamAPI
        private let frames: StreamFrames
        private let pipe: MessagePipe
        private let matches: Int
        private let filter: String

        init(
            _ context: RunContext, _ api: StreamAPI, _ name: String, _ subjects: Int, _ matches: Int,
            _ progress: inout Progress?
        ) throws {
            self.api = api
            self.name = name
            self.matches = matches
            rounds = Rounds(context)
            var plan = SubjectPlan(prefix: name == "FEW" ? "booking" : "guest", subjects: subjects)
            plan.everyTenthIsFirst = true
            filter = plan.subject(0)
            let startNs = Clock.nowNs()
            let messages = matches * FilteredConsume.stride
            let publisher = try StreamFill.fill(
                context.target, api, stream: name, plan, payloadBytes: 128, messages: messages, &progress)
            fillRate = Double(messages) / (Double(Clock.nowNs() - startNs) / 1e9)
            frames = publisher.frames
            pipe = try MessagePipe(context.target)
        }

        func round(_ number: Int, counts: Bool, _ progress: inout Progress?) throws {
            let consumer = "c\(number)"
            try api.createConsumer(
                consumer, on: name, [PullConsume.maxAckPending, .init("filter_subject", .string(filter))])
            let plan = PullPlan(stream: name, consumer: consumer, messages: matches, stride: FilteredConsume.stride)
            let puller = try StreamPuller(pipe, plan, frames, number: number)
            try rounds.measure(matches, counts: counts) {
                try puller.run(&progress, note: "\(name) round \(number / 2)")
            }
            try api.expectDone(consumer, on: name)
            try api.request("CONSUMER.DELETE.\(name).\(consumer)")
        }
    }
}
