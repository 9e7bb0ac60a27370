// JetStream's error object: what a refused request or publish is answered with.

import Wire

/// `{"code":404,"err_code":10059,"description":"stream not found"}`. The errors there are stand in StreamErrors,
/// ConsumerErrors, PublishErrors and ServiceErrors.
struct APIError: Error, Sendable, Equatable {
    /// As HTTP would answer.
    let code: Int
    /// JetStream's own number; never reused, so clients decide by it.
    let errorCode: Int
    let description: String

    init(_ code: Int, _ errorCode: Int, _ description: String) {
        self.code = code
        self.errorCode = errorCode
        self.description = description
    }

    /// Writes the object as a value; the caller names it.
    func write(to json: inout JSONWriter) {
        json.beginObject()
        json.member("code", code)
        json.member("err_code", errorCode)
        json.member("description", description)
        json.endObject()
    }
}

extension APIError: CustomStringConvertible {}
