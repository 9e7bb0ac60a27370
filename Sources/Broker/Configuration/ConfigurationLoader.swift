// Makes Options out of defaults, configuration file and flags, in this order, each overriding the one before. It is
// kept for reloads: the file is read again, the flags stay.

import Glibc

/// Options that passed every check, and what there is to say about them.
public struct LoadedConfiguration: Sendable {
    public var options: Options
    /// What nats-server warns of at start, ready to print: `a.conf:1:0: invalid use of field …`.
    public var warnings: [String]
    /// `sha256:…` of the file's content, as `-t` prints it and /varz reports it; nil without a file.
    public var digest: String?
    /// Loads the same file under the same flags again.
    public var loader: ConfigurationLoader
}

/// Every mistake of a configuration, ready to print, one a line.
public struct ConfigurationFailure: Error, Sendable, Equatable, CustomStringConvertible {
    public var messages: [String]
    public var description: String { messages.joined(separator: "\n") }
}

public struct ConfigurationLoader: Sendable {
    let flags: CommandLineFlags
    let environment: [String: String]

    /// A loader for tests and tools that have a file but no command line.
    public init(file: String?, environment: [String: String] = [:]) {
        var flags = CommandLineFlags()
        flags.configFile = file
        self.init(flags: flags, environment: environment)
    }

    init(flags: CommandLineFlags, environment: [String: String]) {
        self.flags = flags
        self.environment = environment
    }

    /// Reads and checks everything. At a reload the options that run stay in force when this throws.
    public func load() throws(ConfigurationFailure) -> LoadedConfiguration {
        var options = Options()
        var warnings: [String] = []
        var digest: String?
        if let file = flags.configFile {
            let map: ConfigurationMap
            do throws(FileFailure) {
                let source = try Self.readFile(file)
                do throws(ConfigurationError) {
                    map = try ConfigurationParser.parse(
                        source, file: file, environment: environment, readFile: Self.readFile)
                } catch {
                    throw FileFailure(error.description)
                }
            } catch {
                throw ConfigurationFailure(messages: [error.description])
            }
            let reader = OptionsReader(map, file: file)
            if !reader.errors.isEmpty {
                throw ConfigurationFailure(messages: (reader.warnings + reader.errors).map(\.description))
            }
            options = reader.options
            options.configFile = file
            warnings = reader.warnings.map(\.description)
            digest = ConfigurationDigest.of(map)
        }
        flags.apply(to: &options)
        if let contradiction = OptionsValidator.contradiction(in: options) {
            throw ConfigurationFailure(messages: warnings + [contradiction.description])
        }
        return LoadedConfiguration(options: options, warnings: warnings, digest: digest, loader: self)
    }

    /// Reads a whole file, worded on failure as Go words it: `open x.conf: no such file or directory`.
    public static func readFile(_ path: String) throws(FileFailure) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        if descriptor < 0 { throw FileFailure("open \(path): \(systemMessage(errno))") }
        defer { close(descriptor) }
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            if count == 0 { return content }
            if count < 0 {
                if errno == EINTR { continue }
                throw FileFailure("read \(path): \(systemMessage(errno))")
            }
            content += chunk[..<count]
            if content.count > ConfigurationParser.fileBytesMax { throw FileFailure("read \(path): file too large") }
        }
    }
}

/// The system's text for an error number, in lower case as Go prints it.
func systemMessage(_ code: Int32) -> String {
    guard let text = strerror(code) else { return "error \(code)" }
    let message = String(cString: text)
    return message.prefix(1).lowercased() + message.dropFirst()
}
