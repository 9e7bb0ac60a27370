// The comparison as an SVG picture: for each row, how many times better than the peer, on a logarithmic scale.

import Glibc

enum Chart {
    private static let labelWidth = 390.0
    private static let panelWidth = 300.0
    private static let gap = 60.0
    private static let rowHeight = 30.0
    private static let top = 92.0
    /// The scale runs from 1/4 to 32 times, and further where a result does.
    private struct Scale {
        let low = -2.0
        var high = 5.0
        static let highMax = 8.0

        init(_ results: [RowResult]) {
            for result in results {
                for metric in Metric.allCases {
                    guard let most = result.advantage(metric, of: .subject)?.max, most.isFinite, most > 0,
                        metric == .cpu || metric == Chart.leading(result)
                    else { continue }
                    high = min(Scale.highMax, max(high, log2(most).rounded(.up)))
                }
            }
        }

        /// Where a power of two lies in a panel; what is off the scale stays at its end.
        func position(of power: Double) -> Double {
            let bounded = min(max(power, low), high)
            return (bounded - low) / (high - low) * panelWidth
        }
    }

    private static let subjectColor = "#1f6feb"
    private static let thirdColor = "#b8c4d0"
    private static let goalColor = "#d1242f"

    /// The picture. Left: messages a second (delay or memory where that is the row's figure); right: processor time.
    static func svg(_ results: [RowResult]) -> String {
        let rows = results.filter { leading($0) != nil }
        let scale = Scale(rows)
        let width = labelWidth + 2 * panelWidth + gap + 70
        let height = top + Double(rows.count) * rowHeight + 50
        let subject = results.first?.name(.subject) ?? "subject"
        let peer = (results.first?.name(.peer) ?? "peer") + " " + (results.first?.version(.peer) ?? "")
        let third = results.compactMap { $0.name(.third) }.first
        var out = """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(n(width)) \(n(height))" \
            font-family="system-ui, sans-serif" font-size="12" fill="#1f2328">
            <rect width="100%" height="100%" fill="#ffffff"/>
            <text x="16" y="28" font-size="17" font-weight="600">\
            \(escaped(subject)): times better than \(escaped(peer))</text>

            """
        var legend = 16.0
        func key(_ color: String, _ text: String) {
            out += "<rect x=\"\(n(legend))\" y=\"42\" width=\"12\" height=\"10\" fill=\"\(color)\"/>"
            out += "<text x=\"\(n(legend + 17))\" y=\"51\">\(escaped(text))</text>\n"
            legend += 34 + Double(text.count) * 6.6
        }
        key(subjectColor, "\(subject), median and range of the pairs")
        if let third { key(thirdColor, third) }
        key(goalColor, "goal")
        let panels = [
            (labelWidth, "messages/s, or the figure named"), (labelWidth + panelWidth + gap, "CPU per message"),
        ]
        for (x, title) in panels {
            out += "<text x=\"\(n(x))\" y=\"\(n(top - 22))\" font-weight=\"600\">\(title)</text>\n"
            for power in Int(scale.low)...Int(scale.high) {
                let at = x + scale.position(of: Double(power))
                let label = power < 0 ? "1/\(1 << -power)" : "\(1 << power)"
                let stroke = power == 0 ? "#1f2328" : "#e4e8ec"
                out += "<line x1=\"\(n(at))\" y1=\"\(n(top - 6))\" x2=\"\(n(at))\" y2=\"\(n(height - 40))\" "
                out += "stroke=\"\(stroke)\"/><text x=\"\(n(at))\" y=\"\(n(height - 24))\" text-anchor=\"middle\" "
                out += "fill=\"#59636e\">\(label)x</text>\n"
            }
        }
        for (number, result) in rows.enumerated() {
            let y = top + Double(number) * rowHeight
            let metric = leading(result) ?? .rate
            let note = metric == .rate ? "" : " (\(metric.title))"
            out += "<text x=\"\(n(labelWidth - 12))\" y=\"\(n(y + 16))\" text-anchor=\"end\">"
            out += escaped(result.title + note) + "</text>\n"
            out += bar(result, metric, x: labelWidth, y: y, scale)
            out += bar(result, .cpu, x: labelWidth + panelWidth + gap, y: y, scale)
        }
        return out + "</svg>\n"
    }

    /// The row's first figure that both servers have.
    private static func leading(_ result: RowResult) -> Metric? {
        let metrics = Row.all.first { $0.name == result.row }?.metrics ?? [.rate]
        return metrics.first { result.advantage($0, of: .subject) != nil }
    }

    private static func bar(_ result: RowResult, _ metric: Metric, x: Double, y: Double, _ scale: Scale) -> String {
        guard let own = result.advantage(metric, of: .subject), own.median > 0 else { return "" }
        let zero = x + scale.position(of: 0)
        var out = ""
        func rect(_ value: Double, _ color: String, _ top: Double, _ height: Double) {
            let at = x + scale.position(of: log2(value))
            out += "<rect x=\"\(n(min(zero, at)))\" y=\"\(n(top))\" width=\"\(n(abs(at - zero)))\" "
            out += "height=\"\(n(height))\" fill=\"\(color)\"/>"
        }
        if let third = result.advantage(metric, of: .third), third.median > 0 {
            rect(third.median, thirdColor, y + 14, 6)
        }
        rect(own.median, subjectColor, y + 4, 9)
        let (low, high) = (x + scale.position(of: log2(own.min)), x + scale.position(of: log2(own.max)))
        out += "<line x1=\"\(n(low))\" y1=\"\(n(y + 8.5))\" x2=\"\(n(high))\" y2=\"\(n(y + 8.5))\" stroke=\"#0b2e63\"/>"
        let goal = Row.all.first { $0.name == result.row }?.goals.first { $0.metric == metric && !$0.isAbsolute }
        if let goal {
            let at = x + scale.position(of: log2(goal.bound))
            out += "<line x1=\"\(n(at))\" y1=\"\(n(y + 1))\" x2=\"\(n(at))\" y2=\"\(n(y + 22))\" "
            out += "stroke=\"\(goalColor)\" stroke-width=\"2\"/>"
        }
        let end = max(zero, x + scale.position(of: log2(max(own.median, own.max)))) + 6
        return out + "<text x=\"\(n(end))\" y=\"\(n(y + 13))\" font-size=\"11\">\(Format.short(own.median))</text>\n"
    }

    private static func n(_ value: Double) -> String { Format.fixed(value, 1) }

    private static func escaped(_ text: String) -> String {
        Text.replacing("<", in: Text.replacing("&", in: text, with: "&amp;"), with: "&lt;")
    }
}
