#define _GNU_SOURCE
#include "CLinux.h"

#include <string.h>
#include <sys/prctl.h>

int clinux_accept(int listener) {
    return accept4(listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

void clinux_name_thread(pthread_t thread, const char *name) {
    char cut[16];
    strncpy(cut, name, sizeof cut - 1);
    cut[sizeof cut - 1] = 0;
    pthread_setname_np(thread, cut);
}

void clinux_precise_timers(void) {
    prctl(PR_SET_TIMERSLACK, 1000UL);
}
