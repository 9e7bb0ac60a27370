// What can go wrong in a run, said so that whoever reads it knows what to do next.

import Glibc

/// A failed run or a wrong command line. Every case ends the program with its text on stderr.
enum BenchError: Error, CustomStringConvertible {
    /// The command line asks for something that does not exist; `--help` follows.
    case usage(String)
    /// No connection to `address`, or it broke: start the server, or look at its log.
    case connection(String)
    /// The server answered `-ERR` or needs what was not given (credentials, TLS).
    case refused(String)
    /// Messages were lost, doubled, reordered or altered. The figures of such a run are worth nothing.
    case mismatch(String)
    /// Nothing moved for the whole time limit.
    case stalled(String)
    /// A server that bench starts itself did not come up, or died.
    case server(String)
    /// A file could not be read or written.
    case file(String)

    var description: String {
        switch self {
        case .usage(let text): return text
        case .connection(let text): return "connection: " + text
        case .refused(let text): return "the server refused: " + text
        case .mismatch(let text): return "wrong delivery: " + text
        case .stalled(let text): return "stalled: " + text
        case .server(let text): return "server: " + text
        case .file(let text): return "file: " + text
        }
    }

    /// The system's words for the current `errno`.
    static func systemText() -> String { String(cString: strerror(errno)) }
}
