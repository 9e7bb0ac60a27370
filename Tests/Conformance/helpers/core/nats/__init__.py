"""One `nats` package out of the archives' namespace portions (nats.client, nats.jetstream, nats.key_value) and our own
`nats.server`. A regular package first on the path also hides an installed nats-py, which is a package of that name."""

import os

__path__ += os.environ["CONFORMANCE_PORTIONS"].split(":")
