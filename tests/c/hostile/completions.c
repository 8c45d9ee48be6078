/* Every call that is accepted completes exactly once, which its tag tells; and completions are what the header says. */
#include "hostile.h"

#include <stdlib.h>

enum { ACCEPTED = 1, COMPLETED = 2 };

/* By tag: ACCEPTED, and COMPLETED for each completion. */
static _Atomic unsigned char *tags;

/* The tag of what only gives a queue something to read; no call of a thread has it. */
static const uint64_t POKE = UINT64_MAX;
static _Atomic uint64_t pokes, poked;

_Atomic uint64_t completions;

/* By kind: how a completion may end. */
static const uint32_t may_end[] = {
    [OPJOURNAL_KIND_NAMESPACE_OPEN] = BIT(OPJOURNAL_OK) | BIT(OPJOURNAL_CLOSED) | BIT(OPJOURNAL_TIMED_OUT) | BIT(OPJOURNAL_BUSY) |
                                      BIT(OPJOURNAL_CANCELLED),
    [OPJOURNAL_KIND_APPLY] = BIT(OPJOURNAL_OK) | BIT(OPJOURNAL_CLOSED) | BIT(OPJOURNAL_TIMED_OUT) | BIT(OPJOURNAL_CANCELLED),
    [OPJOURNAL_KIND_FLUSH] = BIT(OPJOURNAL_OK) | BIT(OPJOURNAL_CLOSED) | BIT(OPJOURNAL_TIMED_OUT) | BIT(OPJOURNAL_CANCELLED),
    [OPJOURNAL_KIND_CLOSE] = BIT(OPJOURNAL_OK) | BIT(OPJOURNAL_TIMED_OUT) | BIT(OPJOURNAL_CANCELLED),
    [OPJOURNAL_KIND_LOG] = BIT(OPJOURNAL_OK),
};

static uint64_t all_tags(void) {
    return plan.threads * plan.calls_of_each;
}

void expect_completions(void) {
    tags = calloc(all_tags(), 1);
    HOLDS(tags != NULL);
}

uint64_t tag_of(const worker *caller, uint64_t call) {
    return caller->number * plan.calls_of_each + call;
}

void note_accepted(uint64_t tag) {
    /* A completion may be read before the call that it is of has returned. */
    unsigned char before = atomic_fetch_add(&tags[tag], ACCEPTED);
    HOLDS(before == 0 || before == COMPLETED);
}

static void take_completion(worker *self, const opjournal_completion *one) {
    HOLDS(one->kind >= 1 && one->kind < sizeof may_end / sizeof *may_end && one->reserved[0] == 0 && one->reserved[1] == 0);
    if (!is_one_of(one->status, may_end[one->kind])) {
        broken("a completion of kind %" PRIu32 " is %s: %s", one->kind, opjournal_status_name(one->status), said(&one->result));
    }
    check_result("a completion", one->status, &one->result);
    if (one->kind == OPJOURNAL_KIND_LOG) {
        HOLDS(one->tag == 0);
    } else if (one->tag == POKE) {
        atomic_fetch_add(&poked, 1);
    } else {
        HOLDS(one->tag < all_tags());
        HOLDS(atomic_fetch_add(&tags[one->tag], COMPLETED) < COMPLETED);
    }
    if (one->kind == OPJOURNAL_KIND_NAMESPACE_OPEN && one->status == OPJOURNAL_OK) {
        unsigned long long ns = 0;
        HOLDS(sscanf(one->result.data, "{\"namespace\":%llu}", &ns) == 1);
        put_namespace(self, ns);
    }
    atomic_fetch_add(&completions, 1);
}

void take_completions(worker *self, opjournal_completion *done, size_t count) {
    for (size_t i = 0; i < count; i++) {
        take_completion(self, &done[i]);
        opjournal_buffer_free(&done[i].result);
    }
}

opjournal_status poke(opjournal_namespace ns, opjournal_queue queue) {
    opjournal_status status = opjournal_flush_async(ns, queue, POKE, 0, NULL);
    if (status == OPJOURNAL_OK) {
        atomic_fetch_add(&pokes, 1);
    }
    return status;
}

uint64_t check_completions(void) {
    uint64_t accepted = 0;
    for (uint64_t tag = 0; tag < all_tags(); tag++) {
        unsigned char what = atomic_load(&tags[tag]);
        if (what != 0 && what != ACCEPTED + COMPLETED) {
            broken("the call with the tag %" PRIu64 " was %saccepted, and completed %d times", tag, what & ACCEPTED ? "" : "not ", what / COMPLETED);
        }
        accepted += what != 0;
    }
    HOLDS(atomic_load(&pokes) == atomic_load(&poked));
    free((void *)tags);
    return accepted;
}
