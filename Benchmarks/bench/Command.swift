// The command line: what is asked for, and the help that says what can be asked.

import Glibc

enum Command {
    /// Runs the command and returns the exit status: 0 done, 1 a failed run, 2 a wrong command line.
    static func run(_ arguments: [String]) -> Int32 {
        Interrupt.install()
        do {
            guard let verb = arguments.first else { throw BenchError.usage("what is to be done?") }
            let rest = Array(arguments.dropFirst())
            if ["--help", "-h", "help"].contains(verb) || rest.contains("--help") || rest.contains("-h") {
                Files.say(verb == "keyed" ? KeyedHelp.text : Help.text)
                return 0
            }
            switch verb {
            case "run": try RunCommand.run(rest)
            case "keyed": try RunCommand.run(["keyed"] + rest)
            case "list": Files.say(Help.list)
            case "compare": return try CompareCommand.run(rest)
            case "report": try CompareCommand.report(rest)
            default: throw BenchError.usage("unknown command \(verb)")
            }
            return 0
        } catch let error as BenchError {
            Files.say("bench: \(error)\n", descriptor: 2)
            if case .usage = error {
                Files.say("See bench --help.\n", descriptor: 2)
                return 2
            }
            return 1
        } catch {
            Files.say("bench: \(error)\n", descriptor: 2)
            return 1
        }
    }
}
