/* Requests whose inbox subscription and publish go out in one write, without a PING between: none may lose its reply.
 *
 *   onewrite HOST PORT ROUNDS CONNECTIONS RESPONDERS
 *
 * CONNECTIONS requesters each keep WINDOW requests in the air: "SUB inbox sid / UNSUB sid 1 / PUB service.N inbox" in
 * one write, each inbox fresh. RESPONDERS connections subscribe to service.N and answer; opened one after the other,
 * they land on every event loop of the broker, and each requester goes through them in turn. Everything is one epoll
 * loop. A round without its reply 10 s after the last progress is lost; a reply that comes twice is a failure too.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WINDOW = 16, INPUT_MAX = 1 << 18, OUTPUT_MAX = 1 << 20 };

struct connection {
    int socket, responder; /* responder: its service number, or -1 */
    char *input, *output;
    size_t input_used, output_used;
    uint64_t sent, received, waiting[WINDOW]; /* sids in the air; 0 is a free place */
};

static uint64_t rounds, started, finished, strays, next_sid = 1;
static int responders, epoll;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static void fail(const char *what) {
    perror(what);
    exit(2);
}

static void flush(struct connection *c) {
    size_t done = 0;
    while (done < c->output_used) {
        ssize_t n = send(c->socket, c->output + done, c->output_used - done, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;
        if (n < 0) fail("send");
        done += (size_t)n;
    }
    memmove(c->output, c->output + done, c->output_used - done);
    c->output_used -= done;
    struct epoll_event event = {.events = EPOLLIN | (c->output_used ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(epoll, EPOLL_CTL_MOD, c->socket, &event);
}

static void append(struct connection *c, const char *bytes, size_t count) {
    if (c->output_used + count > OUTPUT_MAX) { fprintf(stderr, "output buffer full\n"); exit(2); }
    memcpy(c->output + c->output_used, bytes, count);
    c->output_used += count;
}

/* One request, whole, in a write of its own: what is queued before it is flushed first. */
static void request(struct connection *c, int place) {
    char text[256];
    uint64_t sid = next_sid++;
    int service = (int)(started % (uint64_t)responders);
    int count = snprintf(text, sizeof text, "SUB _I.%llu %llu\r\nUNSUB %llu 1\r\nPUB service.%d _I.%llu 2\r\nhi\r\n",
                         (unsigned long long)sid, (unsigned long long)sid, (unsigned long long)sid, service,
                         (unsigned long long)sid);
    c->waiting[place] = sid;
    started++;
    append(c, text, (size_t)count);
    flush(c);
}

/* Handles one message: "MSG subject sid [reply] size". */
static void message(struct connection *c, char *line, char *end) {
    char *words[6];
    int count = 0;
    for (char *at = line; at < end && count < 6;) {
        words[count++] = at;
        while (at < end && *at != ' ') at++;
        while (at < end && *at == ' ') *at++ = 0;
    }
    if (c->responder >= 0) {
        char text[128];
        int length = snprintf(text, sizeof text, "PUB %s 2\r\nok\r\n", words[3]);
        append(c, text, (size_t)length);
        return;
    }
    uint64_t sid = strtoull(words[2], NULL, 10);
    for (int place = 0; place < WINDOW; place++) {
        if (c->waiting[place] != sid) continue;
        c->waiting[place] = 0;
        finished++;
        if (started < rounds) request(c, place);
        return;
    }
    strays++;
}

static void readable(struct connection *c) {
    ssize_t n = recv(c->socket, c->input + c->input_used, INPUT_MAX - c->input_used, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) { fprintf(stderr, "the broker closed a connection\n"); exit(1); }
    c->input_used += (size_t)n;
    char *at = c->input, *limit = c->input + c->input_used;
    for (;;) {
        char *end = memmem(at, (size_t)(limit - at), "\r\n", 2);
        if (!end) break;
        if (!strncmp(at, "MSG ", 4)) {
            *end = 0;
            size_t size = strtoul(strrchr(at, ' ') + 1, NULL, 10);
            *end = '\r';
            if ((size_t)(limit - end) < size + 4) break;
            char *after = end + 2 + size + 2;
            message(c, at, end);
            at = after;
            continue;
        }
        if (!strncmp(at, "PING", 4)) append(c, "PONG\r\n", 6);
        if (!strncmp(at, "-ERR", 4)) { fprintf(stderr, "%.*s\n", (int)(end - at), at); exit(1); }
        at = end + 2;
    }
    memmove(c->input, at, (size_t)(limit - at));
    c->input_used = (size_t)(limit - at);
    if (c->output_used) flush(c);
}

static void open_connection(struct connection *c, const char *host, int port, int responder) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int yes = 1;
    inet_pton(AF_INET, host, &address.sin_addr);
    c->responder = responder;
    c->socket = socket(AF_INET, SOCK_STREAM, 0);
    c->input = malloc(INPUT_MAX);
    c->output = malloc(OUTPUT_MAX);
    if (connect(c->socket, (struct sockaddr *)&address, sizeof address)) fail("connect");
    setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    char text[256];
    int count = snprintf(text, sizeof text, "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n");
    if (responder >= 0) count += snprintf(text + count, sizeof text - (size_t)count, "SUB service.%d 1\r\n", responder);
    count += snprintf(text + count, sizeof text - (size_t)count, "PING\r\n");
    if (send(c->socket, text, (size_t)count, 0) != count) fail("send");
    char answer[8192];
    size_t used = 0;
    while (!memmem(answer, used, "PONG\r\n", 6)) {
        ssize_t n = recv(c->socket, answer + used, sizeof answer - used, 0);
        if (n <= 0) fail("connect: no PONG");
        used += (size_t)n;
    }
    fcntl(c->socket, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->socket, &event)) fail("epoll_ctl");
}

int main(int argc, char **argv) {
    if (argc != 6) { fprintf(stderr, "usage: onewrite HOST PORT ROUNDS CONNECTIONS RESPONDERS\n"); return 2; }
    int port = atoi(argv[2]), requesters = atoi(argv[4]);
    rounds = strtoull(argv[3], NULL, 10);
    responders = atoi(argv[5]);
    if (rounds == 0 || requesters <= 0 || responders <= 0) { fprintf(stderr, "onewrite: nothing to do\n"); return 2; }
    epoll = epoll_create1(0);
    struct connection *all = calloc((size_t)(requesters + responders), sizeof *all);
    for (int i = 0; i < responders; i++) open_connection(&all[i], argv[1], port, i);
    for (int i = 0; i < requesters; i++) open_connection(&all[responders + i], argv[1], port, -1);
    double begun = now(), progress = begun;
    for (int place = 0; place < WINDOW; place++)
        for (int i = 0; i < requesters && started < rounds; i++) request(&all[responders + i], place);
    uint64_t seen = 0;
    while (finished < rounds && now() - progress < 10) {
        struct epoll_event events[256];
        int count = epoll_wait(epoll, events, 256, 1000);
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) flush(c);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(c);
        }
        if (finished != seen) progress = now();
        seen = finished;
    }
    double seconds = now() - begun;
    printf("onewrite: %llu rounds, %llu replies, %llu lost, %llu twice or stray, %.1f s (%.0f per second)\n",
           (unsigned long long)started, (unsigned long long)finished, (unsigned long long)(started - finished),
           (unsigned long long)strays, seconds, (double)finished / seconds);
    return finished == rounds && strays == 0 ? 0 : 1;
}
