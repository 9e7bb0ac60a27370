// Reads and checks a transform's source and destination.

import Wire

extension SubjectTransform {
    /// The transform, or nil for an empty destination: there is nothing to do then. An empty source is `>`.
    static func parse(source: String, destination: String) throws(Failure) -> SubjectTransform? {
        if destination.isEmpty { return nil }
        let source = source.isEmpty ? ">" : source
        guard let from = shape(of: source), let to = shape(of: destination), to.wildcards.isEmpty, from.hasRest == to.hasRest
        else { throw .badSubject }
        let hasWildcards = !from.wildcards.isEmpty || from.hasRest
        var steps: [Step] = []
        for token in to.tokens {
            if token == ">" { break }
            steps.append(try step(token, wildcards: from.wildcards, sourceHasWildcards: hasWildcards))
        }
        return SubjectTransform(
            source: source, destination: destination, steps: steps, restPlace: from.hasRest ? from.tokens.count - 1 : nil)
    }

    /// Checks a destination as configurations are checked; `parse` lets more pass.
    static func validate(source: String, destination: String) throws(Failure) {
        if destination.isEmpty { return }
        var isAfterRest = false
        for token in tokens(of: destination) {
            if token.isEmpty { throw .badDestination }
            if isAfterRest { throw .destination("invalid transform", token) }
            if let call = FunctionCall.parse(token) {
                guard let call, call.function != nil else { throw .destination("unknown function", token) }
                continue
            }
            if token == ">" {
                isAfterRest = true
            } else if token.utf8.contains(where: Subject.isWhitespace) {
                throw .destination("invalid transform", token)
            }
        }
        _ = try parse(source: source, destination: destination)
    }

    static func tokens(of subject: String) -> [String] {
        subject.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    }

    /// The tokens of a pattern, the places of its `*`, and whether it ends in `>`; nil for an invalid one.
    private static func shape(of subject: String) -> (tokens: [String], wildcards: [Int], hasRest: Bool)? {
        let tokens = tokens(of: subject)
        var wildcards: [Int] = []
        var hasRest = false
        for (place, token) in tokens.enumerated() {
            if token.isEmpty || hasRest { return nil }
            if token == "*" { wildcards.append(place) }
            if token == ">" { hasRest = true }
        }
        return (tokens, wildcards, hasRest)
    }

    private static func step(_ token: String, wildcards: [Int], sourceHasWildcards: Bool) throws(Failure) -> Step {
        /// Where a wildcard's token stands. As in nats-server, what is below the first one is the subject's first token.
        func place(_ index: Int) throws(Failure) -> Int {
            guard index <= wildcards.count else {
                throw .destination("wildcard index out of range", sourceHasWildcards ? "\(token): [\(index)]" : token)
            }
            return index < 1 ? 0 : wildcards[index - 1]
        }
        func needsWildcards() throws(Failure) {
            if !sourceHasWildcards { throw .destination("wildcard index out of range", token) }
        }
        if token.utf8.count > 1, token.hasPrefix("$"), let index = Int(token.dropFirst()) {
            try needsWildcards()
            return .token(try place(index))
        }
        guard let call = FunctionCall.parse(token) else { return .literal(Array(token.utf8)) }
        guard let call, let function = call.function else { throw .destination("unknown function", token) }
        let arguments = call.arguments
        if function == .random {
            guard arguments.count == 1 else { throw .destination("not enough arguments passed to the function", token) }
            return .random(ceiling: try number(arguments[0], token))
        }
        if function == .partition {
            let buckets = try number(arguments[0], token)
            var indexes: [Int] = []
            for argument in arguments.dropFirst() { indexes.append(try number(argument, token)) }
            if !indexes.isEmpty { try needsWildcards() }
            var places: [Int] = []
            for index in indexes { places.append(try place(index)) }
            return .partition(buckets: buckets, places: places)
        }
        let wanted = function == .wildcard ? 1 : 2
        if arguments.count < wanted || arguments == [""] {
            throw .destination("not enough arguments passed to the function", token)
        }
        if arguments.count > wanted { throw .destination("too many arguments passed to the function", token) }
        let index = try number(arguments[0], token)
        if function == .split {
            if arguments[1].contains(" ") || arguments[1].contains(".") { throw badArgument(token) }
            try needsWildcards()
            return .split(try place(index), delimiter: Array(arguments[1].utf8))
        }
        let size = function == .wildcard ? 0 : try number(arguments[1], token)
        try needsWildcards()
        let found = try place(index)
        return switch function {
        case .splitFromLeft: .splitFromLeft(found, size)
        case .splitFromRight: .splitFromRight(found, size)
        case .sliceFromLeft: .sliceFromLeft(found, size)
        case .sliceFromRight: .sliceFromRight(found, size)
        case .left: .left(found, size)
        case .right: .right(found, size)
        default: .token(found)
        }
    }

    private static func badArgument(_ token: String) -> Failure {
        .destination("function argument is invalid or in the wrong format", token)
    }

    private static func number(_ argument: String, _ token: String) throws(Failure) -> Int {
        let digits = argument.drop { $0 == " " }
        guard let number = Int32(digits.prefix { $0 != " " }), digits.drop(while: { $0 != " " }).allSatisfy({ $0 == " " })
        else {
            throw badArgument(token)
        }
        return Int(number)
    }
}

/// `{{name(arguments)}}`, taken apart.
private struct FunctionCall {
    enum Function: String {
        case wildcard, partition, split, splitFromLeft, splitFromRight, sliceFromLeft, sliceFromRight, left, right, random
    }

    /// nil where nobody knows it.
    var function: Function?
    var arguments: [String]

    /// nil for a token that is no call; a nil inside for one that looks like a call and is none.
    static func parse(_ token: String) -> FunctionCall?? {
        guard token.utf8.count > 4, token.hasPrefix("{{"), token.hasSuffix("}}") else { return nil }
        let inner = trim(token.dropFirst(2).dropLast(2))
        guard let open = inner.firstIndex(of: "("), inner.last == ")" else { return .some(nil) }
        var arguments: [String] = []
        for part in inner[inner.index(after: open)...].dropLast().split(separator: ",", omittingEmptySubsequences: false) {
            // Whitespace after a comma belongs to it.
            arguments.append(String(arguments.isEmpty ? part : part.drop { isSpace($0) }))
        }
        return FunctionCall(function: function(named: trim(inner[..<open])), arguments: arguments)
    }

    /// The first letter of each word of a name may be of either case: `splitFromLeft`, `SplitfromLeft`.
    private static func function(named name: Substring) -> Function? {
        all.first { function in
            function.rawValue.utf8.count == name.utf8.count
                && zip(function.rawValue.utf8.enumerated(), name.utf8).allSatisfy { (wanted, byte) in
                    let (place, letter) = wanted
                    if letter == byte { return true }
                    let isStart = place == 0 || letter < UInt8(ascii: "a")
                    return isStart && letter | 0x20 == byte | 0x20
                }
        }
    }

    private static let all: [Function] = [
        .wildcard, .partition, .split, .splitFromLeft, .splitFromRight, .sliceFromLeft, .sliceFromRight, .left, .right, .random,
    ]

    private static func trim(_ text: Substring) -> Substring {
        var text = text.drop { isSpace($0) }
        while let last = text.last, isSpace(last) { text.removeLast() }
        return text
    }

    private static func isSpace(_ character: Character) -> Bool { character == " " || character == "\t" }
}
