// What `--help` and `list` print.

enum Help {
    static let text = """
        bench drives any NATS server over raw sockets, checks every delivery, and compares servers.

          bench run WORKLOAD [options]     one workload against one server
          bench keyed [options]            workers over many keys, in order per key; bench keyed --help
          bench list                       workloads, and the rows of compare
          bench compare --peer PATH ...    servers in turn, row by row: table, chart and results file
          bench report [--out PATH]        table and chart again, from a results file

        Which server (run):
          --server HOST:PORT       an IPv4 address or localhost; 127.0.0.1:4222 unless given
          --user U --pass P, --token T
          --pid N                  whose CPU and memory to read; found by itself on this machine
          --start PATH             start PATH on a free port instead, and end it afterwards
          --start-args "ARGS"      with {port} and {spin}; "-a 127.0.0.1 -p {port}" unless given
          --spin US                what {spin} becomes; 0 unless given

        What to run:
          --size N                 payload bytes, from 16; 128 unless given; 16K is 16384
          --pubs N                 publishers, each on a subject of its own (requesters, for request)
          --subs N                 subscribers for each publisher; 0 publishes only
          --outstanding N          requests under way for each requester; 1 unless given
          --count N                connections, subscriptions, consumers or stored messages
          --subjects N             over how many subjects a stream's messages go (js-recovery: streams)
          --batch N                messages of a pull request; 500 unless given
          --unfiltered             js-consumers: every consumer gets every message
          --rate N                 messages a second in all; delays then count from when a message was due
          --unique, --single       a subject per message; a write() per message
          --window BYTES           how far a publisher may be ahead of its slowest subscriber; 4194304 unless given
          --threads N              client threads, over which publishers are spread with their subscribers; 1
          --split                  subscribers on client threads of their own, apart from the publishers
          --poll                   the client never sleeps
          --verify-all             compare every byte, not the end of each read and every sixteenth read

        Where streams are stored (js-*: run with --start, and compare):
          --store DIR              where a fresh store is made and removed; /var/tmp unless given; no memory disk
          --sync WORD              always, never or default: the server's sync_interval (run)

        How long (run and compare):
          --warmup T, --duration T 500ms and 2s unless given
          --messages N             stop after N messages of each publisher

        compare:
          --peer PATH              the server to compare with, such as nats-server
          --subject PATH           ours; .build/release/brokerd unless given
          --third PATH             one more server in the same table, such as the yardstick
          --subject-args, --peer-args, --third-args "ARGS"    with {port} and {spin};
                                   -name instead of -args sets what tables call them
          --rows LIST              names with commas, stream-*, core, streams, keyed, judged (all of these, unless given) or all
          --pairs N                5 unless given; in each pair every server runs once, afresh
          --out PATH               PATH.jsonl (appended to, a line for each row), PATH.md, PATH.svg;
                                   docs/benchmarks/comparison unless given
          --touch SIZE             use so much memory once before each run, for hosts that give it out page by page
          --resume                 leave out rows that the results file has
          --check                  exit with 1 when a goal is missed

          --json                   results as JSON, one object a line

        K and M after a count stand for thousands and millions, after bytes for KiB and MiB.
        Exit status: 0 done, 1 a run failed (a message lost, doubled or altered counts), 2 a wrong command line.

        """

    static let list: String = {
        var text = """
            Workloads for run:
              publish       publish only; the server's PONG ends it
              stream        1:1
              fan-out       1:4, or 1:N with --subs N
              many          4:4 on distinct subjects, or N:N with --pubs N
              unique        a booking id in each subject, a wildcard subscriber
              single        one message per write()
              paced         1:1 at --rate messages a second, for delays
              request       request and reply, --outstanding at a time
              connections   5,000 idle connections, or --count
              storm         100,000 subscriptions on one connection, or --count, and their ends
              idle          an idle server
              js-publish    publish to a stream with an ack each, --outstanding at a time
              js-batch      atomic batches of three messages, --outstanding of them open
              js-pull       pull and ack, --count messages of a stream again and again
              js-filter     a consumer filtered to one of --subjects subjects, beside the same with ten
              js-consumers  --count durable consumers on one stream
              js-latency    publish to delivery, one message at a time
              js-lone       one publish with ack at a time, beside a bare append and fdatasync
              js-recovery   start to serving with --count messages stored, after a stop and after a kill
              js-memory     memory for each of --count stored messages

            Rows for compare (goals are ratios to the peer):

            """
        for row in Row.all {
            let goals = row.goals.map { "\($0.metric.title) \($0.text)" }.joined(separator: ", ")
            text += "  " + Format.padded(row.name, 28) + Format.padded(row.title, 64) + goals + "\n"
        }
        return text
    }()
}
