/*
 * events: writes without ever blocking. One thread, one poll(2) loop, many batches on their way at once: what a server
 * with an event loop of its own does.
 *
 *     events file:///tmp/journal 1000
 */
#include <opjournal.h>
#include <opjournal_builder.h>
#include <opjournal_result.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Tags are ours to choose: they say which call a completion belongs to. Batches are numbered from 0, the rest lies above. */
enum { TAG_OPEN = 1 << 30, TAG_FLUSH, TAG_CLOSE };

#define QUEUE_SLOTS 256
#define AT_ONCE 32

typedef struct {
    opjournal_journal journal;
    opjournal_queue queue;
    opjournal_namespace ns;
    opjournal_builder builder;
    opjournal_buffer result; /* of calls; completions bring their own */
    uint64_t wanted, sent, done;
    int finished; /* all is written and flushed */
    int failed;   /* something went wrong; close and leave */
    int closing;  /* the close was accepted, its completion is owed */
    int closed;
} loop_state;

static void complain(loop_state *loop, const char *what, opjournal_status status, const opjournal_buffer *result) {
    char message[512] = "";
    (void)opjournal_result_member_string(result->data, result->len, "message", message, sizeof message, NULL);
    fprintf(stderr, "%s: %s: %s\n", what, opjournal_status_name(status), message);
    loop->failed = 1;
}

/* Closes once all is done or something failed; when the queue is full, the next completion brings the next chance. */
static void close_in_the_end(loop_state *loop) {
    opjournal_status status;
    if (loop->closing || !(loop->finished || loop->failed)) return;
    status = opjournal_close_async(loop->journal, loop->queue, TAG_CLOSE, OPJOURNAL_TIMEOUT_DEFAULT, &loop->result);
    if (status == OPJOURNAL_OK) {
        loop->closing = 1;
    } else if (status != OPJOURNAL_BUSY) {
        complain(loop, "close", status, &loop->result);
        loop->closed = 1;
    }
}

/* Submits batches until all are on their way, or the library says that enough are. */
static void submit(loop_state *loop) {
    while (loop->ns != 0 && !loop->failed && loop->sent < loop->wanted) {
        const char *ops;
        size_t len;
        opjournal_status status;
        opjournal_builder_clear(&loop->builder);
        opjournal_op_int_add(&loop->builder, opjournal_text("events"), 1);
        opjournal_op_list_append(&loop->builder, opjournal_text("log"), opjournal_int((int64_t)loop->sent));
        if (opjournal_builder_array(&loop->builder, &ops, &len) != OPJOURNAL_BUILD_OK) {
            fprintf(stderr, "%s\n", opjournal_builder_message(&loop->builder));
            loop->failed = 1;
            return;
        }
        status = opjournal_apply_async(loop->ns, loop->queue, loop->sent, ops, len, OPJOURNAL_TIMEOUT_DEFAULT, &loop->result);
        if (status == OPJOURNAL_BUSY) return; /* Nothing was taken: completions will come, and then there is room again. */
        if (status != OPJOURNAL_OK) {
            complain(loop, "apply", status, &loop->result);
            return;
        }
        loop->sent++;
    }
}

static void print_total(loop_state *loop) {
    const char *query;
    size_t len;
    int64_t total = 0;
    opjournal_status status;
    opjournal_builder_clear(&loop->builder);
    opjournal_query_int_get(&loop->builder, opjournal_text("events"));
    if (opjournal_builder_object(&loop->builder, &query, &len) != OPJOURNAL_BUILD_OK) {
        fprintf(stderr, "%s\n", opjournal_builder_message(&loop->builder));
        loop->failed = 1;
        return;
    }
    /* Queries never wait for the store, so they have no asynchronous form. */
    status = opjournal_query(loop->ns, query, len, &loop->result);
    if (status != OPJOURNAL_OK || opjournal_result_int(loop->result.data, loop->result.len, &total) != OPJOURNAL_RESULT_OK)
        complain(loop, "query", status, &loop->result);
    else
        printf("%" PRId64 "\n", total);
}

/* What one completion means. After the last batch comes a flush, after the flush the end. */
static void complete(loop_state *loop, const opjournal_completion *completion) {
    const opjournal_buffer *result = &completion->result;
    opjournal_status status = completion->status;
    switch (completion->kind) {
    case OPJOURNAL_KIND_NAMESPACE_OPEN:
        if (status != OPJOURNAL_OK || opjournal_result_member_uint(result->data, result->len, "namespace", &loop->ns) != OPJOURNAL_RESULT_OK)
            complain(loop, "namespace_open", status, result);
        break;
    case OPJOURNAL_KIND_APPLY:
        loop->done++;
        if (status != OPJOURNAL_OK) complain(loop, "apply", status, result);
        else if (loop->done == loop->wanted) {
            status = opjournal_flush_async(loop->ns, loop->queue, TAG_FLUSH, OPJOURNAL_TIMEOUT_DEFAULT, &loop->result);
            if (status != OPJOURNAL_OK) complain(loop, "flush", status, &loop->result);
        }
        break;
    case OPJOURNAL_KIND_FLUSH:
        if (status != OPJOURNAL_OK) complain(loop, "flush", status, result);
        else {
            print_total(loop);
            loop->finished = 1;
        }
        break;
    case OPJOURNAL_KIND_CLOSE:
        if (status != OPJOURNAL_OK) complain(loop, "close", status, result);
        loop->closed = 1;
        break;
    default: break; /* Kinds may be added; the buffer is freed all the same. */
    }
}

/* Takes what is there. Until fewer come than were asked for, the descriptor may stay readable. */
static void drain(loop_state *loop) {
    opjournal_completion completions[AT_ONCE];
    size_t count, i;
    do {
        opjournal_status status = opjournal_queue_poll(loop->queue, completions, AT_ONCE, &count);
        if (status != OPJOURNAL_OK) {
            fprintf(stderr, "queue_poll: %s\n", opjournal_status_name(status));
            loop->failed = loop->closed = 1;
            return;
        }
        for (i = 0; i < count; i++) {
            complete(loop, &completions[i]);
            opjournal_buffer_free(&completions[i].result);
        }
    } while (count == AT_ONCE);
}

static void run(loop_state *loop) {
    struct pollfd descriptor;
    memset(&descriptor, 0, sizeof descriptor);
    if (opjournal_queue_fd(loop->queue, &descriptor.fd) != OPJOURNAL_OK) {
        fprintf(stderr, "no descriptor\n");
        loop->failed = 1;
        (void)opjournal_close(loop->journal, OPJOURNAL_TIMEOUT_DEFAULT, NULL);
        return;
    }
    descriptor.events = POLLIN;
    while (!loop->closed) {
        submit(loop);
        close_in_the_end(loop);
        if (loop->closed) break;
        /* Here a server has its sockets in the same set. */
        if (poll(&descriptor, 1, -1) < 0 && errno != EINTR) {
            perror("poll");
            loop->failed = 1;
            return;
        }
        drain(loop);
    }
    /* What was accepted before the close has its completion too. */
    drain(loop);
}

int main(int argc, char **argv) {
    loop_state loop;
    opjournal_status status;
    const char *config;
    size_t len;

    memset(&loop, 0, sizeof loop);
    loop.wanted = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;
    if (loop.wanted == 0 || loop.wanted >= TAG_OPEN) {
        fprintf(stderr, "usage: events STORE-URL COUNT\n");
        return 2;
    }
    opjournal_builder_init(&loop.builder);
    opjournal_object_begin(&loop.builder);
    opjournal_object_member(&loop.builder, "store", opjournal_text(argv[1]));
    opjournal_object_end(&loop.builder);
    if (opjournal_builder_object(&loop.builder, &config, &len) != OPJOURNAL_BUILD_OK) {
        fprintf(stderr, "%s\n", opjournal_builder_message(&loop.builder));
        loop.failed = 1;
    } else if ((status = opjournal_open(config, len, &loop.journal, &loop.result)) != OPJOURNAL_OK) {
        complain(&loop, "open", status, &loop.result);
    } else if ((status = opjournal_queue_open(QUEUE_SLOTS, &loop.queue, &loop.result)) != OPJOURNAL_OK) {
        complain(&loop, "queue_open", status, &loop.result);
        (void)opjournal_close(loop.journal, OPJOURNAL_TIMEOUT_DEFAULT, NULL);
    } else {
        status = opjournal_namespace_open_async(loop.journal, loop.queue, TAG_OPEN, "events", 6, OPJOURNAL_TIMEOUT_DEFAULT, &loop.result);
        if (status != OPJOURNAL_OK) complain(&loop, "namespace_open", status, &loop.result);
        run(&loop);
        status = opjournal_queue_close(loop.queue);
        if (status != OPJOURNAL_OK) {
            fprintf(stderr, "queue_close: %s\n", opjournal_status_name(status));
            loop.failed = 1;
        }
    }
    opjournal_buffer_free(&loop.result);
    opjournal_builder_free(&loop.builder);
    return loop.failed;
}
