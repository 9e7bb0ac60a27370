// The lock of the project: the standard library's Mutex, and its stand-in where the thread sanitizer looks.

#if THREAD_SANITIZER
    import Glibc

    /// A value that is touched under a lock only. The standard library's `Mutex` locks inside a library that is not built with
    /// the thread sanitizer, which would take whatever is ordered by it for a race; this one is a POSIX mutex, which the
    /// sanitizer knows. `scripts/sanitize.sh thread` builds with it, nothing else does.
    public struct Locked<Value: ~Copyable>: ~Copyable, Sendable {
        // Written here and freed in deinit; nobody else gets hold of them.
        private nonisolated(unsafe) let mutex: UnsafeMutablePointer<pthread_mutex_t>
        private nonisolated(unsafe) let value: UnsafeMutablePointer<Value>

        public init(_ initial: consuming sending Value) {
            mutex = .allocate(capacity: 1)
            mutex.initialize(to: pthread_mutex_t())
            precondition(pthread_mutex_init(mutex, nil) == 0, "a mutex with default attributes needs nothing that can lack")
            value = .allocate(capacity: 1)
            value.initialize(to: initial)
        }

        deinit {
            value.deinitialize(count: 1)
            value.deallocate()
            pthread_mutex_destroy(mutex)
            mutex.deallocate()
        }

        /// Runs the body with the lock held: see `Mutex.withLock`.
        public borrowing func withLock<Result: ~Copyable, Failure: Error>(
            _ body: (inout sending Value) throws(Failure) -> sending Result
        ) throws(Failure) -> sending Result {
            pthread_mutex_lock(mutex)
            defer { pthread_mutex_unlock(mutex) }
            nonisolated(unsafe) let held = value
            return try body(&held.pointee)
        }
    }
#else
    import Synchronization

    /// A value that is touched under a lock only: the standard library's `Mutex`.
    public typealias Locked<Value: ~Copyable> = Mutex<Value>
#endif
