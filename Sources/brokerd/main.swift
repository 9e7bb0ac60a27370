// The daemon: arguments in, a running broker out.

import Broker
import Glibc

var environment: [String: String] = [:]
var entry = environ
while let variable = entry.pointee {
    let parts = String(cString: variable).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    if parts.count == 2 { environment[String(parts[0])] = String(parts[1]) }
    entry += 1
}

func print(_ text: String, to descriptor: Int32) {
    var text = text
    text.withUTF8 { _ = write(descriptor, $0.baseAddress, $0.count) }
}

switch BrokerCommandLine.run(arguments: CommandLine.arguments, environment: environment) {
case .exit(let code, let output, let isError):
    print(output, to: isError ? STDERR_FILENO : STDOUT_FILENO)
    exit(code)
case .run(let configuration):
    for warning in configuration.warnings { print(warning + "\n", to: STDERR_FILENO) }
    do {
        let log = try Logger(configuration.options.log)
        do {
            try Broker(configuration, log: log).run()
        } catch {
            log.fatal("\(error)")
            exit(1)
        }
    } catch {
        print("brokerd: \(error)\n", to: STDERR_FILENO)
        exit(1)
    }
}
