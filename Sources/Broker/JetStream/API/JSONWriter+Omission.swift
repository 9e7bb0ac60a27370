// Members that are left out when they are empty, as Go's `omitempty` does it, and the forms of times and bytes.

import Wire

extension JSONWriter {
    mutating func optional(_ name: String, _ value: String) { if !value.isEmpty { member(name, value) } }
    mutating func optional(_ name: String, _ value: Bool) { if value { member(name, true) } }
    mutating func optional(_ name: String, _ value: Int) { if value != 0 { member(name, value) } }
    mutating func optional(_ name: String, _ value: Int64) { if value != 0 { member(name, value) } }
    mutating func optional(_ name: String, _ value: UInt64) { if value != 0 { member(name, value) } }

    mutating func optional(_ name: String, _ strings: [String]) { optional(name, strings) { $0.value($1) } }

    mutating func optional<Element>(_ name: String, _ elements: [Element], _ write: (inout JSONWriter, Element) -> Void) {
        if !elements.isEmpty { array(name, elements, write) }
    }

    /// In the order of the names' bytes, as Go writes maps.
    mutating func optional(_ name: String, _ map: [String: String]) {
        if map.isEmpty { return }
        self.name(name)
        beginObject()
        for (key, value) in map.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) { member(key, value) }
        endObject()
    }

    mutating func array<Element>(_ name: String, _ elements: [Element], _ write: (inout JSONWriter, Element) -> Void) {
        self.name(name)
        beginArray()
        for element in elements { write(&self, element) }
        endArray()
    }

    /// A list that Go keeps in a nil slice while it is empty.
    mutating func nullable<Element>(_ name: String, _ elements: [Element], _ write: (inout JSONWriter, Element) -> Void) {
        if elements.isEmpty {
            self.name(name)
            null()
        } else {
            array(name, elements, write)
        }
    }

    /// Nanoseconds since 1970 as RFC 3339.
    mutating func time(_ name: String, _ ns: Int64) { member(name, Timestamp.text(ns)) }
}
