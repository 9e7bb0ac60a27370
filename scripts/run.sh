#!/bin/sh
# run.sh PORT MONITOR_PORT: builds brokerd, starts it, shows a booking event going from one stock client to another
# and back, says where to look, and stays up until Ctrl-C. BROKER names another broker program (it is then not built).
set -eu
cd "$(dirname "$0")/.."
port=$1 monitor=$2
program=${BROKER:-.build/release/brokerd}
[ -n "${BROKER:-}" ] || swift build -c release --static-swift-stdlib --product brokerd
scripts/build_c.sh

log=.build/run.log
mkdir -p .build
"$program" -p "$port" -m "$monitor" 2>"$log" &
broker=$!
# One stop for every way out; the broker gets SIGTERM and is waited for.
stop() {
    trap - INT TERM EXIT
    if kill -0 "$broker" 2>/dev/null; then
        echo
        echo "run: stopping the broker"
        kill -TERM "$broker" 2>/dev/null || true
    fi
    wait "$broker" 2>/dev/null || true
    echo "run: stopped"
}
trap 'stop; exit 0' INT TERM
trap stop EXIT

tries=0
until grep -q "Server is ready" "$log"; do
    kill -0 "$broker" 2>/dev/null || { cat "$log" >&2; echo "run: the broker did not start" >&2; exit 1; }
    tries=$((tries + 1))
    [ "$tries" -lt 200 ] || { cat "$log" >&2; echo "run: the broker is not ready after 10 s" >&2; exit 1; }
    sleep 0.05
done

.venv/bin/python scripts/demonstration.py "nats://127.0.0.1:$port"
cat <<END

The broker is up.
  clients      nats://127.0.0.1:$port         any NATS client, for instance: nats -s nats://127.0.0.1:$port sub 'booking.>'
  monitoring   http://127.0.0.1:$monitor/varz    also /connz /subsz /healthz
  its log      $log
Ctrl-C stops it.
END
wait "$broker" || true
cat "$log" >&2
echo "run: the broker ended by itself" >&2
exit 1
