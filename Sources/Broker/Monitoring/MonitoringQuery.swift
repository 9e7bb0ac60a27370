// The parameters of a monitoring request, decoded as Go decodes them, and refused in Go's words.

import Reactor

/// A mistake in a request; the text is the body of the 400.
struct MonitoringFailure: Error, Sendable, Equatable {
    let text: String
    init(_ text: String) { self.text = text }
}

/// Parameters that are missing or empty have Go's zero value.
struct MonitoringQuery: Sendable {
    private let request: HTTPRequest

    init(_ request: HTTPRequest) { self.request = request }

    func text(_ name: String) -> String { request.parameter(name) ?? "" }

    func bool(_ name: String) throws(MonitoringFailure) -> Bool {
        switch text(name) {
        case "", "0", "f", "F", "false", "FALSE", "False": return false
        case "1", "t", "T", "true", "TRUE", "True": return true
        case let other:
            throw MonitoringFailure(
                "Error decoding boolean for '\(name)': strconv.ParseBool: parsing \(goQuoted(other)): invalid syntax")
        }
    }

    func int(_ name: String) throws(MonitoringFailure) -> Int {
        let text = text(name)
        if text.isEmpty { return 0 }
        let digits = text.utf8.first == UInt8(ascii: "-") || text.utf8.first == UInt8(ascii: "+") ? text.dropFirst() : text[...]
        try checkDigits(digits, text, "Error decoding int for '\(name)': strconv.Atoi")
        guard let value = Int(text) else {
            throw MonitoringFailure(
                "Error decoding int for '\(name)': strconv.Atoi: parsing \(goQuoted(text)): value out of range")
        }
        return value
    }

    func uint64(_ name: String) throws(MonitoringFailure) -> UInt64 {
        let text = text(name)
        if text.isEmpty { return 0 }
        try checkDigits(text[...], text, "Error decoding uint64 for '\(name)': strconv.ParseUint")
        guard let value = UInt64(text) else {
            throw MonitoringFailure(
                "Error decoding uint64 for '\(name)': strconv.ParseUint: parsing \(goQuoted(text)): value out of range")
        }
        return value
    }

    private func checkDigits(_ digits: Substring, _ text: String, _ prefix: String) throws(MonitoringFailure) {
        if digits.isEmpty || !digits.utf8.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }) {
            throw MonitoringFailure("\(prefix): parsing \(goQuoted(text)): invalid syntax")
        }
    }

    /// The part of a list that is asked for.
    func page() throws(MonitoringFailure) -> MonitoringPage {
        let offset = try int("offset"), limit = try int("limit")
        return MonitoringPage(offset: max(0, offset), limit: limit > 0 ? limit : MonitoringPage.limitDefault)
    }
}

/// A part of a list.
struct MonitoringPage: Sendable {
    static let limitDefault = 1_024
    var offset: Int
    var limit: Int

    /// Behind the last entry that is wanted.
    var end: Int { offset.addingReportingOverflow(limit).overflow ? Int.max : offset + limit }

    func cut<Element>(_ list: [Element]) -> ArraySlice<Element> {
        list[min(offset, list.count)..<min(end, list.count)]
    }
}
