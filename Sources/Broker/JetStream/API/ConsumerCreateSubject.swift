// The three subjects that create consumers, and how each must agree with its request's body.

import Wire

/// The subject of a creation, taken apart: what stands in its place for stream, consumer and filter.
enum ConsumerCreateSubject: Equatable {
    /// `$JS.API.CONSUMER.CREATE.<stream>`: the server or the body chooses a name.
    case ephemeral(stream: String)
    /// `$JS.API.CONSUMER.CREATE.<stream>.<consumer>[.<filter>]`.
    case named(stream: String, consumer: String, filter: String)
    /// `$JS.API.CONSUMER.DURABLE.CREATE.<stream>.<consumer>`.
    case durable(stream: String, consumer: String)

    var stream: String {
        switch self {
        case .ephemeral(let stream), .named(let stream, _, _), .durable(let stream, _): stream
        }
    }

    /// Empty where the server is to make one up.
    var consumer: String {
        switch self {
        case .ephemeral: ""
        case .named(_, let consumer, _), .durable(_, let consumer): consumer
        }
    }
}

extension ConsumerCreateRequest {
    /// The configuration that the request asks for, with the name that the subject gives it, or where the two disagree.
    func config(for subject: ConsumerCreateSubject) throws(APIError) -> ConsumerConfig {
        if subject.stream != stream { throw .streamMismatch }
        if AssetName.hasPathSeparators(subject.consumer) { throw .consumerNameContainsPathSeparators }
        var config = config
        switch subject {
        case .ephemeral: if config.isDurable { throw .consumerEphemeralWithDurableName }
        case .durable(_, let consumer):
            if !config.isDurable { throw .consumerDurableNameNotSet }
            if config.durable != consumer { throw .consumerDurableNameNotMatchSubject }
            config.name = consumer
        case .named(_, let consumer, let filter):
            if config.isDurable && config.durable != consumer { throw .consumerDurableNameNotMatchSubject }
            config.name = consumer
            if !filter.isEmpty {
                if !config.filterSubjects.isEmpty { throw .consumerMultipleFiltersNotAllowed }
                if config.filterSubject != filter { throw .consumerCreateFilterSubjectMismatch }
            }
        }
        return config
    }
}
