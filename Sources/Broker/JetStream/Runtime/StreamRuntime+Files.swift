// What a stream's log needs beside its commits: reads from the disk, maintenance, its closing, and somebody who says what is damaged.

import Reactor
import Store
import Wire

extension StreamRuntime {
    /// Hears of reads that must wait, and of damage.
    func attend(_ file: FileLog) {
        file.onNeedsRead = { [unowned self, unowned file] in read(file) }
        file.onLost = { [unowned self] sequence, reason in
            router.broker.log.error("Stream \(entry.config.name) has lost message \(sequence): \(reason)")
            losses.tell([sequence], reason)
        }
        let report = file.recoveryReport
        let name = entry.config.name, log = router.broker.log
        for damage in report.damages { log.error("Stream \(name): \(damage)") }
        if report.lostMessages > 0 {
            log.error("Stream \(name) has lost \(report.lostMessages) messages to damaged files")
            let reason = report.damages.joined(separator: "; ")
            losses.tell(file.state.lost, reason)
        }
        if report.cutBytes > 0 { log.warning("Stream \(name): cut \(report.cutBytes) bytes of an unfinished write") }
    }

    private func read(_ file: FileLog) {
        guard let job = file.beginRead() else { return }
        runOnFileThread(job) { [self] result in
            file.finishRead(result)
            touch()
        }
    }

    /// Prepares the next segment, takes back what nobody needs, rewrites what is sparse: one job at a time.
    func maintain() {
        guard !isMaintaining, let file = stream?.log as? FileLog else { return }
        guard let job = file.beginMaintenance() else {
            // It may wait for a commit that nobody else asks for.
            if file.wantsCommit && stream?.failure == nil { touch() }
            return
        }
        isMaintaining = true
        runOnFileThread(job) { [self] result in
            isMaintaining = false
            if let error = file.finishMaintenance(result) {
                router.broker.log.error("Stream \(entry.config.name): \(error)")
            }
            touch()
        }
    }

    /// Closes the files in order; the broker ends.
    func closeFiles(_ done: @escaping () -> Void) {
        guard let file = stream?.log as? FileLog, let job = file.beginClose() else { return done() }
        loop.run(job) { [self] result in
            if let error = file.finishCommit(result) {
                router.broker.log.error("Stream \(entry.config.name) could not be closed in order: \(error)")
                return done()
            }
            closeFiles(done)
        }
    }
}
