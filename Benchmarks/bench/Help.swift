// What `--help` and `list` print.

enum Help {
    static let text = ""
    static let list = ""
}
