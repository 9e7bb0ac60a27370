// What has been read of a log's files here and there: pieces that are kept, for what is read out of order comes back to them.

import Synchronization

/// Pieces of segments in memory, each at one place of a table. Whoever takes up what waited, key by key, reads all over the
/// latest few megabytes of a log: without it, each message would cost a system call.
final class ReadCache {
    static let pieceBytes = 1 << shift
    private static let shift = 13

    private struct Piece {
        var segmentID: UInt64
        var number: Int
        /// Bytes of it that have been read: the end of a log grows.
        var count: Int
        var buffer: UnsafeMutableRawPointer
    }

    /// What all logs together hold.
    private static let held = Atomic<Int>(0)

    /// Places of the table, a power of two, or 0; and how many pieces all logs together may hold.
    private let size: Int
    private let heldMax: Int
    private var pieces: [Piece?] = []
    private var piecesHeld = 0

    init(_ options: LogOptions) {
        size = options.cachedPiecesMax > 0 ? 1 << (Int.bitWidth - 1 - options.cachedPiecesMax.leadingZeroBitCount) : 0
        heldMax = options.cachedPiecesTotalMax
    }

    deinit { removeAll() }

    /// `count` bytes at a place, if they have been read and lie in one piece.
    @inline(__always)
    func bytes(_ segmentID: UInt64, _ place: Int, _ count: Int) -> UnsafeRawPointer? {
        let number = place >> ReadCache.shift, offset = place & (ReadCache.pieceBytes - 1)
        let slot = slot(segmentID, number)
        guard !pieces.isEmpty, let piece = pieces[slot], piece.number == number, piece.segmentID == segmentID,
            offset + count <= piece.count
        else { return nil }
        return UnsafeRawPointer(piece.buffer + offset)
    }

    /// Reads the piece around a place, or what its segment has got since: `read` brings so many bytes from a place of the file,
    /// says how many there were, and nil where it would have to wait.
    ///
    /// - Parameter end: how much of the segment is written.
    func fill<Failure: Error>(
        _ segmentID: UInt64, _ place: Int, end: Int,
        read: (UnsafeMutableRawPointer, Int, Int) throws(Failure) -> Int?
    ) throws(Failure) {
        guard size > 0 else { return }
        let number = place >> ReadCache.shift
        let slot = slot(segmentID, number)
        guard var piece = take(slot, segmentID, number) else { return }
        let start = number << ReadCache.shift
        let wanted = min(ReadCache.pieceBytes, end - start) - piece.count
        guard wanted > 0, let got = try read(piece.buffer + piece.count, wanted, start + piece.count), got > 0 else { return }
        piece.count += got
        pieces[slot] = piece
    }

    @inline(__always)
    private func slot(_ segmentID: UInt64, _ number: Int) -> Int {
        Int(truncatingIfNeeded: segmentID &+ UInt64(number)) & (size &- 1)
    }

    /// The piece at its place, empty if another stood there; nil if all logs together hold enough.
    private func take(_ slot: Int, _ segmentID: UInt64, _ number: Int) -> Piece? {
        if pieces.isEmpty { pieces = Array(repeating: nil, count: size) }
        if let piece = pieces[slot] {
            if piece.segmentID == segmentID && piece.number == number { return piece }
            let fresh = Piece(segmentID: segmentID, number: number, count: 0, buffer: piece.buffer)
            pieces[slot] = fresh
            return fresh
        }
        if ReadCache.held.add(1, ordering: .relaxed).newValue > heldMax {
            ReadCache.held.subtract(1, ordering: .relaxed)
            return nil
        }
        piecesHeld += 1
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: ReadCache.pieceBytes, alignment: 16)
        let fresh = Piece(segmentID: segmentID, number: number, count: 0, buffer: buffer)
        pieces[slot] = fresh
        return fresh
    }

    func removeAll() {
        for piece in pieces { piece?.buffer.deallocate() }
        pieces = []
        ReadCache.held.subtract(piecesHeld, ordering: .relaxed)
        piecesHeld = 0
    }
}

@available(*, unavailable)
extension ReadCache: Sendable {}
