// bench: drives any NATS server over raw sockets, checks every delivery, and compares servers.

import Glibc

exit(Command.run(Array(CommandLine.arguments.dropFirst())))
