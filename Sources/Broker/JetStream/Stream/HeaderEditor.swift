// Changes a header block: the few publishes that are stored with other headers than they came with.

import Wire

/// The lines of a header block, to take out and to add. A block that has lost all of its headers is no block at all.
struct HeaderEditor {
    private static let version = Array("NATS/1.0".utf8)
    /// Without their line ends; the first is the version's.
    private var lines: [[UInt8]]

    init(_ block: ByteView = .empty) {
        lines = []
        var line: [UInt8] = []
        for byte in block.buffer where byte != 0x0D {
            if byte != 0x0A {
                line.append(byte)
                continue
            }
            if !line.isEmpty { lines.append(line) }
            line = []
        }
        if !line.isEmpty { lines.append(line) }
        if lines.isEmpty { lines = [HeaderEditor.version] }
    }

    mutating func remove(_ name: StaticString) { removeLines { $0.isHeader(name) } }
    mutating func remove(prefix: StaticString) { removeLines { $0.begins(with: prefix) } }

    private mutating func removeLines(_ isUnwanted: (ArraySlice<UInt8>) -> Bool) {
        lines[1...].removeAll { isUnwanted($0[...]) }
    }

    mutating func add(_ name: StaticString, _ value: String) {
        var line: [UInt8] = []
        line.append(contentsOf: UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
        line += ": ".utf8
        line += value.utf8
        lines.append(line)
    }

    /// Gives a header another value, in its place.
    mutating func set(_ name: StaticString, _ value: String) {
        guard let place = lines.firstIndex(where: { $0[...].isHeader(name) }) else { return add(name, value) }
        add(name, value)
        lines[place] = lines.removeLast()
    }

    /// The first value under a name.
    func value(of name: StaticString) -> [UInt8]? {
        guard let line = lines.first(where: { $0[...].isHeader(name) }) else { return nil }
        return Array(line.dropFirst(name.utf8CodeUnitCount + 1).drop { $0 == 0x20 })
    }

    var isEmpty: Bool { lines.count == 1 }

    /// The whole block, or nothing.
    var bytes: [UInt8] {
        guard !isEmpty else { return [] }
        var bytes: [UInt8] = []
        for line in lines {
            bytes += line
            bytes += "\r\n".utf8
        }
        bytes += "\r\n".utf8
        return bytes
    }
}

extension ArraySlice<UInt8> {
    fileprivate func begins(with text: StaticString) -> Bool {
        starts(with: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    fileprivate func isHeader(_ name: StaticString) -> Bool {
        begins(with: name) && dropFirst(name.utf8CodeUnitCount).first == UInt8(ascii: ":")
    }
}
