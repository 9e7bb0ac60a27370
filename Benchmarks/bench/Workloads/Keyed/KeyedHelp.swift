// What `bench keyed --help` prints.

enum KeyedHelp {
    static let text = """
        bench keyed: a pool of workers handles the messages of many keys, those of each key in their order. Every delivery is
        checked: one that comes out of order, twice at a time or not at all fails the run.

          bench keyed [options]            throughput or, with --rate, delay
          bench keyed unkeyed [options]    the same consumer without keys and with, in turns: what keys cost
          bench keyed parked [options]     without parked keys and with --count of them (10000), in turns; give it a --rate
          bench keyed memory               memory per key, with --count outstanding keys of 64 bytes (100000)
          bench keyed retry                from KEY.RETRY to the delivery, with --count parked keys (10000); KEY.RESUME likewise

        Which server, and for how long, as with bench run: --server, --start, --store, --sync, --warmup, --duration, --json.
        The figures beside nats-server: bench compare --peer PATH --rows 'keyed-*'.

        A server that knows bellhop.key gets one consumer with it. Any other gets what its users do today: a stream whose subject
        transform uses partition(), and for each partition a durable pull consumer with max_ack_pending 1.

          --pattern WORD           auto, keyed, partitions or plain (the same consumer without keys: no order); auto
          --partitions N           64 unless given
          --keys N                 10000 unless given; messages are drawn from them evenly, and without a pattern
          --zipf S                 drawn by Zipf's law with this exponent instead
          --failing SHARE          the share of keys whose every message fails; 0
          --failure WORD           what their handlers do: term, or nak until --max-deliver (5); term
          --workers N              handlers at a time; 512. Each asks for one message when it is free
          --processes N            connections that they share; 8
          --handler T              how long each takes: a timer, no thread; 5ms
          --size N                 payload bytes, from 48; 128
          --ahead N                how far the publisher is ahead of the workers; 20000
          --outstanding N          publishes without an ack; 1024
          --rate N                 messages a second; delays then count from when a message was due
          --churn T                a process crashes, joins, leaves, joins, ... this often; leases then run for a second
          --release                with bellhop.release_on_disconnect
          --turns N                unkeyed, parked: turns of both; 5. The figures are medians of their ratios

        """
}
