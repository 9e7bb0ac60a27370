/* A stock C client's (libnats) JetStream, for the interoperation tests: one action per run, results on stdout.
 *
 *   libnats_jetstream publish URL STREAM SUBJECT COUNT        makes the stream, publishes, prints each ack's sequence
 *   libnats_jetstream publish-async URL SUBJECT COUNT         publishes COUNT at a time and waits for all acks
 *   libnats_jetstream pull URL STREAM DURABLE COUNT           fetches, acks in sync, prints each message
 *   libnats_jetstream push URL STREAM COUNT                   an ordered subscription, prints each message
 *   libnats_jetstream guard URL SUBJECT                       what duplicates and expectations answer
 *   libnats_jetstream admin URL STREAM                        info, names, get, last, direct get, delete, purge
 *   libnats_jetstream kv URL BUCKET                           puts, compares, watches, deletes, lists
 */
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS 5000

static void must(natsStatus status, const char *what) {
    if (status == NATS_OK) return;
    printf("error: %s: %s (%s)\n", what, natsStatus_GetText(status), nats_GetLastError(NULL) ? nats_GetLastError(NULL) : "");
    fflush(stdout);
    exit(1);
}

static void print_message(natsMsg *message) {
    jsMsgMetaData *meta = NULL;
    must(natsMsg_GetMetaData(&meta, message), "metadata");
    printf("%s %.*s seq %llu delivered %llu pending %llu\n", natsMsg_GetSubject(message), natsMsg_GetDataLength(message),
           natsMsg_GetData(message), (unsigned long long)meta->Sequence.Stream, (unsigned long long)meta->NumDelivered,
           (unsigned long long)meta->NumPending);
    jsMsgMetaData_Destroy(meta);
}

static void publish(jsCtx *js, char **argv) {
    jsStreamConfig config;
    jsStreamConfig_Init(&config);
    const char *subjects[] = {argv[4]};
    config.Name = argv[3];
    config.Subjects = subjects;
    config.SubjectsLen = 1;
    config.AllowDirect = true;
    must(js_AddStream(NULL, js, &config, NULL, NULL), "add stream");
    for (int i = 0; i < atoi(argv[5]); i++) {
        char text[32];
        jsPubAck *ack = NULL;
        snprintf(text, sizeof text, "message %d", i);
        must(js_Publish(&ack, js, argv[4], text, (int)strlen(text), NULL, NULL), "publish");
        printf("%s %llu%s\n", ack->Stream, (unsigned long long)ack->Sequence, ack->Duplicate ? " duplicate" : "");
        jsPubAck_Destroy(ack);
    }
}

static void publish_async(jsCtx *js, char **argv) {
    jsPubOptions options;
    jsPubOptions_Init(&options);
    options.MaxWait = 20000;
    for (int i = 0; i < atoi(argv[4]); i++) must(js_PublishAsync(js, argv[3], "x", 1, NULL), "publish");
    must(js_PublishAsyncComplete(js, &options), "complete");
    natsMsgList pending;
    natsStatus status = js_PublishAsyncGetPendingList(&pending, js);
    printf("%s\n", status == NATS_NOT_FOUND ? "all acked" : "some are not acked");
}

/* What a stream takes in: its first subject. */
static void subject_of(jsCtx *js, const char *stream, char subject[128]) {
    jsStreamInfo *info = NULL;
    must(js_GetStreamInfo(&info, js, stream, NULL, NULL), "info");
    snprintf(subject, 128, "%s", info->Config->Subjects[0]);
    jsStreamInfo_Destroy(info);
}

static void pull(jsCtx *js, char **argv) {
    natsSubscription *subscription = NULL;
    jsSubOptions options;
    char subject[128];
    subject_of(js, argv[3], subject);
    jsSubOptions_Init(&options);
    options.Stream = argv[3];
    must(js_PullSubscribe(&subscription, js, subject, argv[4], NULL, &options, NULL), "pull subscribe");
    for (int left = atoi(argv[5]); left > 0;) {
        natsMsgList list;
        must(natsSubscription_Fetch(&list, subscription, left, WAIT_MS, NULL), "fetch");
        for (int i = 0; i < list.Count; i++, left--) {
            print_message(list.Msgs[i]);
            must(natsMsg_AckSync(list.Msgs[i], NULL, NULL), "ack");
        }
        natsMsgList_Destroy(&list);
    }
    natsMsgList list;
    printf("then: %s\n", natsStatus_GetText(natsSubscription_Fetch(&list, subscription, 1, 200, NULL)));
    natsSubscription_Destroy(subscription);
}

static void push(jsCtx *js, char **argv) {
    natsSubscription *subscription = NULL;
    jsSubOptions options;
    char subject[128];
    subject_of(js, argv[3], subject);
    jsSubOptions_Init(&options);
    options.Stream = argv[3];
    options.Ordered = true;
    must(js_SubscribeSync(&subscription, js, subject, NULL, &options, NULL), "subscribe");
    for (int i = 0; i < atoi(argv[4]); i++) {
        natsMsg *message = NULL;
        must(natsSubscription_NextMsg(&message, subscription, WAIT_MS), "next");
        print_message(message);
        natsMsg_Destroy(message);
    }
    natsSubscription_Destroy(subscription);
}

static void try_publish(jsCtx *js, const char *subject, jsPubOptions *options) {
    jsPubAck *ack = NULL;
    jsErrCode code = 0;
    natsStatus status = js_Publish(&ack, js, subject, "x", 1, options, &code);
    if (status == NATS_OK) printf("%llu%s\n", (unsigned long long)ack->Sequence, ack->Duplicate ? " duplicate" : "");
    else printf("refused %d\n", (int)code);
    jsPubAck_Destroy(ack);
}

static void guard(jsCtx *js, char **argv) {
    jsPubOptions options;
    jsPubOptions_Init(&options);
    options.MsgId = "one";
    try_publish(js, argv[3], &options);
    try_publish(js, argv[3], &options);
    jsPubOptions_Init(&options);
    options.ExpectStream = "OTHER";
    try_publish(js, argv[3], &options);
    jsPubOptions_Init(&options);
    options.ExpectLastSeq = 99;
    try_publish(js, argv[3], &options);
    jsPubOptions_Init(&options);
    options.ExpectLastMsgId = "one";
    try_publish(js, argv[3], &options);
}

static void admin(jsCtx *js, char **argv) {
    jsStreamInfo *info = NULL;
    jsStreamNamesList *names = NULL;
    jsAccountInfo *account = NULL;
    natsMsg *message = NULL;
    must(js_GetStreamInfo(&info, js, argv[3], NULL, NULL), "info");
    printf("%s %llu messages, %llu to %llu\n", info->Config->Name, (unsigned long long)info->State.Msgs,
           (unsigned long long)info->State.FirstSeq, (unsigned long long)info->State.LastSeq);
    must(js_StreamNames(&names, js, NULL, NULL), "names");
    for (int i = 0; i < names->Count; i++) printf("name %s\n", names->List[i]);
    must(js_GetAccountInfo(&account, js, NULL, NULL), "account");
    printf("account has %lld streams\n", (long long)account->Streams);
    must(js_GetMsg(&message, js, argv[3], info->State.FirstSeq, NULL, NULL), "get");
    printf("first %.*s\n", natsMsg_GetDataLength(message), natsMsg_GetData(message));
    natsMsg_Destroy(message);
    must(js_GetLastMsg(&message, js, argv[3], info->Config->Subjects[0], NULL, NULL), "get last");
    printf("last %.*s\n", natsMsg_GetDataLength(message), natsMsg_GetData(message));
    natsMsg_Destroy(message);
    jsDirectGetMsgOptions direct;
    jsDirectGetMsgOptions_Init(&direct);
    direct.Sequence = info->State.LastSeq;
    must(js_DirectGetMsg(&message, js, argv[3], NULL, &direct), "direct get");
    printf("direct %.*s at %llu\n", natsMsg_GetDataLength(message), natsMsg_GetData(message),
           (unsigned long long)natsMsg_GetSequence(message));
    natsMsg_Destroy(message);
    must(js_DeleteMsg(js, argv[3], info->State.FirstSeq, NULL, NULL), "delete");
    jsErrCode code = 0;
    natsStatus status = js_GetMsg(&message, js, argv[3], info->State.FirstSeq, NULL, &code);
    printf("deleted: %s %d\n", natsStatus_GetText(status), (int)code);
    must(js_PurgeStream(js, argv[3], NULL, NULL), "purge");
    must(js_DeleteStream(js, argv[3], NULL, NULL), "delete stream");
    jsStreamInfo *none = NULL;
    status = js_GetStreamInfo(&none, js, argv[3], NULL, &code);
    printf("gone: %s %d\n", natsStatus_GetText(status), (int)code);
    jsStreamInfo_Destroy(info);
    jsStreamNamesList_Destroy(names);
    jsAccountInfo_Destroy(account);
}

static void print_entry(kvEntry *entry) {
    if (!entry) {
        printf("all seen\n");
        return;
    }
    printf("%s = %s at %llu op %d\n", kvEntry_Key(entry), kvEntry_ValueString(entry) ? kvEntry_ValueString(entry) : "",
           (unsigned long long)kvEntry_Revision(entry), (int)kvEntry_Operation(entry));
    kvEntry_Destroy(entry);
}

static void kv(jsCtx *js, char **argv) {
    kvConfig config;
    kvStore *store = NULL;
    kvEntry *entry = NULL;
    kvWatcher *watcher = NULL;
    kvKeysList keys;
    uint64_t revision = 0;
    kvConfig_Init(&config);
    config.Bucket = argv[3];
    config.History = 5;
    must(js_CreateKeyValue(&store, js, &config), "create");
    must(kvStore_PutString(&revision, store, "a", "1"), "put");
    must(kvStore_PutString(&revision, store, "a", "2"), "put");
    must(kvStore_CreateString(&revision, store, "b", "1"), "create");
    printf("create again: %s\n", kvStore_CreateString(&revision, store, "b", "2") == NATS_OK ? "taken" : "refused");
    must(kvStore_UpdateString(&revision, store, "b", "3", 3), "update");
    printf("update behind: %s\n", kvStore_UpdateString(&revision, store, "b", "4", 3) == NATS_OK ? "taken" : "refused");
    must(kvStore_Get(&entry, store, "a"), "get");
    print_entry(entry);
    must(kvStore_GetRevision(&entry, store, "a", 1), "get revision");
    print_entry(entry);
    must(kvStore_WatchAll(&watcher, store, NULL), "watch");
    for (int i = 0; i < 3; i++) {
        entry = NULL;
        must(kvWatcher_Next(&entry, watcher, WAIT_MS), "watched");
        print_entry(entry);
    }
    must(kvStore_Delete(store, "a"), "delete");
    must(kvWatcher_Next(&entry, watcher, WAIT_MS), "watched");
    print_entry(entry);
    kvWatcher_Destroy(watcher);
    must(kvStore_Keys(&keys, store, NULL), "keys");
    for (int i = 0; i < keys.Count; i++) printf("key %s\n", keys.Keys[i]);
    kvKeysList_Destroy(&keys);
    kvStore_Destroy(store);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        int arguments;
        void (*run)(jsCtx *, char **);
    } actions[] = {{"publish", 6, publish}, {"publish-async", 5, publish_async}, {"pull", 6, pull}, {"push", 5, push},
                   {"guard", 4, guard},     {"admin", 4, admin},                 {"kv", 4, kv}};
    natsConnection *connection = NULL;
    jsCtx *js = NULL;
    for (size_t i = 0; argc > 1 && i < sizeof actions / sizeof *actions; i++) {
        if (strcmp(argv[1], actions[i].name) != 0 || argc != actions[i].arguments) continue;
        must(natsConnection_ConnectTo(&connection, argv[2]), "connect");
        must(natsConnection_JetStream(&js, connection, NULL), "jetstream");
        actions[i].run(js, argv);
        fflush(stdout);
        jsCtx_Destroy(js);
        natsConnection_Destroy(connection);
        nats_Close();
        return 0;
    }
    return 2;
}
