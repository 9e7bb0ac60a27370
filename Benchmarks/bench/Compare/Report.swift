// The comparison as a Markdown table, with all that is needed to make it again.

enum Report {
    /// The whole page. `chart` is the picture's file name, next to the page.
    static func markdown(_ results: [RowResult], chart: String) -> String {
        guard let first = results.first else { return "No results yet.\n" }
        let subject = first.name(.subject) ?? "subject"
        let versions = results.compactMap { result in result.name(.peer).map { ($0, result.version(.peer) ?? "") } }
        let (peer, version) = versions.first ?? ("peer", "")
        let third = results.compactMap { $0.name(.third) }.first
        var page = "# \(subject) and \(peer) \(version)\n\n![chart](\(chart))\n\n"
        page += """
            Servers were started afresh for each run and ran in turn; every run checked each delivery. Figures are
            medians; ratios are taken pair by pair, with the smallest and the largest. A ratio above 1x in messages
            and below 1x in delay or memory, and 1/n of the processor time, speak for \(subject).
            """
        if let third {
            page += " A goal holds as given, or at 85% of what\n\(third) reached in the same run where that is lower."
            page += " [README.md](README.md) says what \(third) is."
        }
        page += "\n\n| row | figure | \(subject) | \(peer) | ratio (range) | goal |"
        if let third { page += " \(third) |" }
        page += " verdict | others' CPU |\n|---|---|--:|--:|--:|--:|" + (third == nil ? "" : "--:|") + "---|--:|\n"
        for result in results { page += lines(result, hasThird: third != nil) }
        page += "\n`others' CPU` is the most, in cores, that other programs used during any run of the row.\n\n"
        page += "## How it was made\n\n"
        var told = Set<String>()
        for result in results {
            guard let command = result.json["command"]?.string, told.insert(command).inserted else { continue }
            page += "    \(command)\n"
        }
        page += "\n"
        for machine in results.compactMap({ $0.json["machine"]?.string }) where told.insert(machine).inserted {
            page += "- Machine: \(machine)\n"
        }
        for store in results.compactMap({ $0.json["store"]?.string }) where told.insert(store).inserted {
            page += "- Store: \(store), fresh for each run; `sync` names each side's `sync_interval`\n"
        }
        for result in results {
            for side in Side.allCases {
                guard let server = result.json["servers"]?[side.rawValue], let command = server["command"]?.string,
                    told.insert(command).inserted
                else { continue }
                let (name, version) = (server["name"]?.string ?? "", server["version"]?.string ?? "")
                page += "- \(name) (greets as \(version)): `\(command)`\n"
            }
        }
        let times = results.compactMap { $0.json["time"]?.string }.sorted()
        if let first = times.first, let last = times.last { page += "- Time: \(first) to \(last)\n" }
        return page
    }

    /// The lines of one row: one for each figure.
    private static func lines(_ result: RowResult, hasThird: Bool) -> String {
        let row = Row.all.first { $0.name == result.row }
        var lines = ""
        for (number, metric) in (row?.metrics ?? [.rate, .cpu]).enumerated() {
            guard let own = result.spread(metric, .subject) else { continue }
            let peer = result.spread(metric, .peer)
            if peer == nil && result.name(.peer) != nil { continue }
            let goal = row?.goals.first { $0.metric == metric }
            let title = number == 0 ? "\(result.title) (\(result.pairs.count) pairs)" : ""
            lines += "| \(title) | \(metric.title) | "
            lines += metric.text(own.median) + " | " + (peer.map { metric.text($0.median) } ?? "") + " | "
            lines += range(result.advantage(metric, of: .subject), metric) + " | " + (goal?.text ?? "") + " | "
            if hasThird { lines += range(result.advantage(metric, of: .third), metric) + " | " }
            lines += (goal.flatMap { goal in result.verdict(goal).map { text($0, goal) } } ?? "") + " | "
            lines += (number == 0 ? result.othersMax.map { Format.fixed($0, 1) } ?? "" : "") + " |\n"
        }
        return lines
    }

    private static func range(_ spread: Spread?, _ metric: Metric) -> String {
        guard let spread else { return "" }
        var (low, high) = (metric.text(advantage: spread.min), metric.text(advantage: spread.max))
        // The smaller number first: of delays and memory that is the better one.
        if !metric.moreIsBetter && metric != .cpu { swap(&low, &high) }
        return metric.text(advantage: spread.median) + " (\(low)–\(high))"
    }

    private static func text(_ verdict: Verdict, _ goal: Goal) -> String {
        let bound = verdict.byThird ? ", at 85%: \(goal.metric.text(advantage: verdict.bound))" : ""
        return (verdict.holds ? "holds" : "**missed**") + bound
    }

    /// One row in a few lines for the terminal.
    static func summary(_ result: RowResult) -> String {
        let row = Row.all.first { $0.name == result.row }
        var text = result.title + "\n"
        for metric in row?.metrics ?? [.rate, .cpu] {
            guard let own = result.spread(metric, .subject) else { continue }
            let peer = result.spread(metric, .peer)
            text += "  " + Format.padded(metric.title, 18) + " " + Format.padded(metric.text(own.median), -9) + " : "
            text += Format.padded(peer.map { metric.text($0.median) } ?? "", -9) + "   "
            text += range(result.advantage(metric, of: .subject), metric)
            if let third = result.advantage(metric, of: .third) {
                text += "   \(result.name(.third) ?? "third") " + range(third, metric)
            }
            if let goal = row?.goals.first(where: { $0.metric == metric }), let verdict = result.verdict(goal) {
                text += "   goal \(goal.text): " + (verdict.holds ? "holds" : "MISSED")
                if verdict.byThird { text += " (at 85% of the third: \(metric.text(advantage: verdict.bound)))" }
            }
            text += "\n"
        }
        return text
    }
}
