/* A stock C client (libnats) for the interoperation tests and for `make run`: one action per run, results on stdout.
 *
 *   libnats_client sub URL SUBJECT COUNT [QUEUE]   prints "ready", then a line per message, ends after COUNT
 *   libnats_client pub URL SUBJECT TEXT [COUNT]    publishes and flushes
 *   libnats_client reply URL SUBJECT COUNT         prints "ready", answers each request with "re: TEXT"
 *   libnats_client request URL SUBJECT TEXT        prints the answer, or "error: ..." (no responders, time-out)
 *   libnats_client drain URL SUBJECT COUNT         prints "ready"; after the first message drains; prints the count
 *   libnats_client stay URL                        prints "ready", then what happens to the connection, until stdin ends
 */
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void must(natsStatus status, const char *what) {
    if (status == NATS_OK) return;
    printf("error: %s: %s\n", what, natsStatus_GetText(status));
    fflush(stdout);
    exit(1);
}

static void say(const char *what) {
    printf("%s\n", what);
    fflush(stdout);
}

static int leaving; /* our own close is no news */

static void disconnected(natsConnection *connection, void *closure) { if (!leaving) say("disconnected"); }
static void reconnected(natsConnection *connection, void *closure) { say("reconnected"); }
static void lame_duck(natsConnection *connection, void *closure) { say("lame duck"); }

static natsConnection *connect_to(const char *url) {
    natsConnection *connection = NULL;
    natsOptions *options = NULL;
    must(natsOptions_Create(&options), "options");
    must(natsOptions_SetURL(options, url), "url");
    must(natsOptions_SetMaxReconnect(options, 200), "reconnect");
    must(natsOptions_SetReconnectWait(options, 50), "reconnect wait");
    must(natsOptions_SetReconnectJitter(options, 10, 10), "reconnect jitter");
    must(natsOptions_SetDisconnectedCB(options, disconnected, NULL), "callback");
    must(natsOptions_SetReconnectedCB(options, reconnected, NULL), "callback");
    must(natsOptions_SetLameDuckModeCB(options, lame_duck, NULL), "callback");
    must(natsConnection_Connect(&connection, options), "connect");
    natsOptions_Destroy(options);
    return connection;
}

static void print_message(natsMsg *message) {
    const char **keys = NULL;
    int count = 0;
    printf("%s %.*s", natsMsg_GetSubject(message), natsMsg_GetDataLength(message), natsMsg_GetData(message));
    if (natsMsgHeader_Keys(message, &keys, &count) == NATS_OK) {
        for (int i = 0; i < count; i++) {
            const char *value = "";
            natsMsgHeader_Get(message, keys[i], &value);
            printf(" [%s: %s]", keys[i], value);
        }
        free((void *)keys);
    }
    say("");
}

static void subscribe(natsConnection *connection, const char *subject, const char *queue, natsSubscription **subscription) {
    if (queue) must(natsConnection_QueueSubscribeSync(subscription, connection, subject, queue), "subscribe");
    else must(natsConnection_SubscribeSync(subscription, connection, subject), "subscribe");
    must(natsConnection_FlushTimeout(connection, 5000), "flush");
    say("ready");
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    const char *action = argv[1];
    natsConnection *connection = connect_to(argv[2]);
    natsSubscription *subscription = NULL;
    natsMsg *message = NULL;

    if (strcmp(action, "sub") == 0) {
        subscribe(connection, argv[3], argc > 5 ? argv[5] : NULL, &subscription);
        for (int left = atoi(argv[4]); left > 0; left--) {
            must(natsSubscription_NextMsg(&message, subscription, 20000), "next");
            print_message(message);
            natsMsg_Destroy(message);
        }
    } else if (strcmp(action, "pub") == 0) {
        int count = argc > 5 ? atoi(argv[5]) : 1;
        for (int i = 0; i < count; i++) must(natsConnection_PublishString(connection, argv[3], argv[4]), "publish");
        must(natsConnection_FlushTimeout(connection, 10000), "flush");
    } else if (strcmp(action, "reply") == 0) {
        subscribe(connection, argv[3], NULL, &subscription);
        for (int left = atoi(argv[4]); left > 0; left--) {
            char answer[1024];
            must(natsSubscription_NextMsg(&message, subscription, 20000), "next");
            snprintf(answer, sizeof answer, "re: %.*s", natsMsg_GetDataLength(message), natsMsg_GetData(message));
            must(natsConnection_PublishString(connection, natsMsg_GetReply(message), answer), "publish");
            natsMsg_Destroy(message);
        }
        must(natsConnection_FlushTimeout(connection, 5000), "flush");
    } else if (strcmp(action, "request") == 0) {
        must(natsConnection_RequestString(&message, connection, argv[3], argv[4], 5000), "request");
        print_message(message);
        natsMsg_Destroy(message);
    } else if (strcmp(action, "drain") == 0) {
        int count = 0;
        subscribe(connection, argv[3], NULL, &subscription);
        must(natsSubscription_NextMsg(&message, subscription, 20000), "next");
        do {
            count++;
            natsMsg_Destroy(message);
            if (count == 1) must(natsSubscription_Drain(subscription), "drain");
        } while (natsSubscription_NextMsg(&message, subscription, 5000) == NATS_OK);
        printf("drained %d\n", count);
    } else if (strcmp(action, "stay") == 0) {
        say("ready");
        while (getchar() != EOF) { }
    }
    leaving = 1;
    natsSubscription_Destroy(subscription);
    natsConnection_Destroy(connection);
    nats_Close();
    return 0;
}
