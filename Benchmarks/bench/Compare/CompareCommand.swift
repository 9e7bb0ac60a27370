enum CompareCommand {
    static func run(_ arguments: [String]) throws -> Int32 { 0 }
    static func report(_ arguments: [String]) throws {}
}
