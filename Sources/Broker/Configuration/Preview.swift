// What is being built and not promised yet: it is refused as unsupported unless the environment asks for it by name.

import Glibc

enum Preview {
    /// Streams: `BELLHOP_PREVIEW=streams`. docs/ROADMAP.md says what is missing.
    static let streams = getenv("BELLHOP_PREVIEW").map { String(cString: $0) == "streams" } ?? false
}
