/*
 * worker: writes batches through the C ABI until it is told to stop or killed, and keeps a ledger of what it asked for and what it was
 * told. tests/soak/worker/main.go does the same through the Go binding; docs/soak.md draws the batches and the ledger.
 *
 * It has several journals (replicas), each with several lanes. A lane is a thread with a handle of its own that writes batches, checks
 * now and then that it reads what it wrote, and flushes. Every other lane uses the asynchronous calls and has several batches on their
 * way at once; the others wait for each call.
 *
 * On standard input it takes one word a line, and answers each with a line: `stop` ends the lanes, `look FILE` flushes and writes the
 * state to a file. It ends with its standard input.
 */
#include <opjournal.h>
#include <opjournal_builder.h>
#include <opjournal_result.h>

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Milliseconds. A call may be so much later than its deadline before it counts as hung: a loaded machine. */
#define MARGIN 5000
/* Calls that only need to end. */
#define PATIENCE 20000
#define MOST_JOURNALS 8
#define MOST_LANES 64
/* How many batches an asynchronous lane has on their way. */
#define WINDOW 8
/* How many names the parts of batches are spread over. */
#define PARTS 16
/* The tag of a flush; batches have the number of their place in the window. */
#define FLUSH_TAG 1000

/* A call of the library that is under way, on the clock of awake_ms. `due` is 0 where none is, and -1 where it was noted as hung. */
typedef struct {
    const char *name;
    int64_t begun, due;
} call;

typedef enum { FREE, SENT, UNKNOWN } stage;

/* A place in a lane's window. */
typedef struct {
    stage stage;
    int64_t number;
    char id[128];
    char segment[128]; /* of an unknown one */
    call call;
} place;

typedef struct {
    opjournal_journal journal;
    opjournal_namespace handle; /* to look with */
} replica;

typedef struct {
    char name[96];
    opjournal_namespace handle;
    opjournal_namespace other; /* of another replica: a flush there has to show what was written here */
    opjournal_queue queue;     /* 0: this lane waits for each call */
    int window;
    place places[WINDOW];
    int64_t number;  /* of the last batch that was submitted */
    int64_t written; /* the greatest number of a batch that was told to be applied */
    int64_t seen;    /* the greatest length of the log that its replica has shown it */
    call flush;
    opjournal_namespace flushed; /* which handle the flush that is under way is for */
    int64_t flush_shows;         /* `written` when that began */
    uint64_t random;
    opjournal_builder builder;
    opjournal_buffer result;
    pthread_t thread;
} lane;

static struct {
    const char *config, *ns, *writer, *ledger_path;
    int journals, lanes;
    uint64_t seed;
    int ledger;
    replica replicas[MOST_JOURNALS];
    lane all[MOST_JOURNALS * MOST_LANES];
    int started; /* how many lanes have a thread */
    call open;
    pthread_mutex_t mutex; /* of what follows, and of every `call` */
    int stopping;
    int64_t awake_ms; /* how long this process has run, without the times when it was stopped by a signal */
} self = {.ns = "soak", .journals = 1, .lanes = 16, .seed = 1, .mutex = PTHREAD_MUTEX_INITIALIZER};

/* ---- The ledger ---------------------------------------------------------------------------------------------------- */

static void die(const char *what) {
    perror(what);
    exit(1);
}

/* Each line is one write to the file, so nothing of it is lost with the process. */
static void note(const char *format, ...) {
    char line[1024];
    size_t len, i;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    len = strlen(line);
    for (i = 0; i < len; i++)
        if (line[i] == '\n') line[i] = ' ';
    line[len++] = '\n';
    if (write(self.ledger, line, len) != (ssize_t)len) die("the ledger");
}

/* ---- Time ---------------------------------------------------------------------------------------------------------- */

static int64_t now_ms(void) {
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void rest(int64_t ms) {
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&time, NULL);
}

static void begin(call *c, const char *name, int64_t limit) {
    (void)pthread_mutex_lock(&self.mutex);
    c->name = name;
    c->begun = self.awake_ms;
    c->due = c->begun + limit + MARGIN;
    (void)pthread_mutex_unlock(&self.mutex);
}

static void end(call *c) {
    (void)pthread_mutex_lock(&self.mutex);
    c->due = 0;
    (void)pthread_mutex_unlock(&self.mutex);
}

static int is_stopping(void) {
    int stopping;
    (void)pthread_mutex_lock(&self.mutex);
    stopping = self.stopping;
    (void)pthread_mutex_unlock(&self.mutex);
    return stopping;
}

static void look_at(call *c) {
    if (c->due <= 0 || self.awake_ms <= c->due) return;
    note("hung %s %" PRId64, c->name, self.awake_ms - c->begun);
    c->due = -1;
}

/* Advances the clock and notes calls that do not end. */
static void *watch(void *unused) {
    int64_t last = now_ms();
    (void)unused;
    for (;;) {
        int64_t now, passed;
        int i, slot;
        rest(100);
        now = now_ms();
        passed = now - last;
        last = now;
        (void)pthread_mutex_lock(&self.mutex);
        /* More than this is a process that was stopped. */
        self.awake_ms += passed < 1000 ? passed : 1000;
        look_at(&self.open);
        for (i = 0; i < self.started; i++) {
            look_at(&self.all[i].flush);
            for (slot = 0; slot < WINDOW; slot++) look_at(&self.all[i].places[slot].call);
        }
        (void)pthread_mutex_unlock(&self.mutex);
    }
    return NULL;
}

/* ---- Answers ------------------------------------------------------------------------------------------------------- */

/* A string member of an answer, "" where there is none. */
static const char *member(const opjournal_buffer *result, const char *name, char *out, size_t size) {
    out[0] = '\0';
    (void)opjournal_result_member_string(result->data, result->len, name, out, size, NULL);
    return out;
}

/* Notes a failure that no fault of the store explains. */
static void expect(const char *what, opjournal_status status, const opjournal_buffer *result) {
    char message[512];
    if (status == OPJOURNAL_TIMED_OUT || status == OPJOURNAL_UNAVAILABLE || status == OPJOURNAL_BUSY) return;
    note("wrong %s: %s: %s", what, opjournal_status_name(status), member(result, "message", message, sizeof message));
}

/* ---- A lane -------------------------------------------------------------------------------------------------------- */

static uint64_t draw(lane *l, uint64_t below) {
    uint64_t z = (l->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % below;
}

/* A batch of so many ops. The first and the last one add the same to two names, which differ where a batch is torn. */
static void build(lane *l, const place *p, int64_t size, const char **ops, size_t *len) {
    int64_t i;
    opjournal_builder *b = &l->builder;
    opjournal_builder_clear(b);
    opjournal_op_int_add(b, opjournal_text("first"), size);
    opjournal_op_list_append(b, opjournal_text("log"), opjournal_text(p->id));
    opjournal_op_int_map_set(b, opjournal_text("last"), opjournal_text(l->name), p->number);
    for (i = 3; i < size - 1; i++) {
        char part[16];
        (void)snprintf(part, sizeof part, "p%d", (int)((p->number + i) % PARTS));
        opjournal_op_int_map_add(b, opjournal_text("parts"), opjournal_text(part), 1);
    }
    opjournal_op_int_add(b, opjournal_text("sum"), size);
    if (opjournal_builder_array(b, ops, len) != OPJOURNAL_BUILD_OK) die(opjournal_builder_message(b));
}

/* Looks at one state: what this lane wrote is there, no batch is torn, and nothing has vanished. */
static void check(lane *l, opjournal_namespace handle, int64_t written) {
    int64_t numbers[4] = {0, 0, 0, 0};
    size_t len, cursor = 0;
    const char *text;
    int i;
    opjournal_status status;
    opjournal_builder_clear(&l->builder);
    opjournal_query_int_get(&l->builder, opjournal_text("first"));
    opjournal_query_int_get(&l->builder, opjournal_text("sum"));
    opjournal_query_list_len(&l->builder, opjournal_text("log"));
    opjournal_query_int_map_get(&l->builder, opjournal_text("last"), opjournal_text(l->name));
    if (opjournal_builder_array(&l->builder, &text, &len) != OPJOURNAL_BUILD_OK) die(opjournal_builder_message(&l->builder));
    status = opjournal_query(handle, text, len, &l->result);
    for (i = 0; i < 4; i++) {
        opjournal_slice item;
        if (status != OPJOURNAL_OK || opjournal_result_item(l->result.data, l->result.len, &cursor, &item) != OPJOURNAL_RESULT_OK ||
            opjournal_result_int(item.data, item.len, &numbers[i]) != OPJOURNAL_RESULT_OK) {
            note("wrong query: %s: %.400s", opjournal_status_name(status), l->result.data);
            return;
        }
    }
    if (numbers[0] != numbers[1]) note("wrong torn: %s reads first %" PRId64 ", sum %" PRId64, l->name, numbers[0], numbers[1]);
    if (numbers[3] < written) note("wrong unread: %s wrote %" PRId64 " and reads %" PRId64, l->name, written, numbers[3]);
    if (handle != l->handle) return;
    if (numbers[2] < l->seen) note("wrong vanished: %s has seen %" PRId64 " entries and reads %" PRId64, l->name, l->seen, numbers[2]);
    l->seen = numbers[2];
}

/* What a batch was told. */
static void told(lane *l, place *p, opjournal_status status, const opjournal_buffer *result) {
    char outcome[16], message[512];
    end(&p->call);
    p->stage = FREE;
    (void)member(result, "segment", p->segment, sizeof p->segment);
    if (status == OPJOURNAL_OK) {
        note("acknowledged %s %s", p->id, p->segment);
        if (p->number > l->written) l->written = p->number;
    } else if (strcmp(member(result, "outcome", outcome, sizeof outcome), "unknown") == 0) {
        note("unknown %s %s", p->id, p->segment);
        p->stage = UNKNOWN;
    } else {
        note("failed %s %s: %s", p->id, opjournal_status_name(status), member(result, "message", message, sizeof message));
        expect("apply", status, result);
        rest(20);
    }
}

static void submit(lane *l, place *p) {
    const char *ops;
    size_t len;
    opjournal_status status;
    int64_t size = 20 + (int64_t)draw(l, 31);
    /* Most callers are patient, some are not, and a few leave at once. */
    uint64_t dice = draw(l, 100);
    int64_t limit = dice < 1 ? 20 : dice < 10 ? 2000 : PATIENCE;
    p->number = ++l->number;
    (void)snprintf(p->id, sizeof p->id, "%s.%" PRId64 "/%" PRId64, l->name, p->number, size);
    build(l, p, size, &ops, &len);
    p->stage = SENT;
    note("submit %s", p->id);
    begin(&p->call, "apply", limit);
    if (l->queue == 0) {
        status = opjournal_apply(l->handle, ops, len, limit, &l->result);
        told(l, p, status, &l->result);
        return;
    }
    status = opjournal_apply_async(l->handle, l->queue, (uint64_t)(p - l->places), ops, len, limit, &l->result);
    if (status != OPJOURNAL_OK) told(l, p, status, &l->result);
}

static void flushed(lane *l, opjournal_status status, const opjournal_buffer *result) {
    end(&l->flush);
    if (status == OPJOURNAL_OK) check(l, l->flushed, l->flush_shows);
    else expect("flush", status, result);
    l->flushed = 0;
}

/* Flushes this lane's replica or another one, which then has to show what was written here before. */
static void flush(lane *l) {
    opjournal_status status;
    if (l->flushed != 0) return;
    l->flushed = draw(l, 2) == 0 ? l->handle : l->other;
    l->flush_shows = l->written;
    begin(&l->flush, "flush", PATIENCE);
    if (l->queue == 0) {
        status = opjournal_flush(l->flushed, PATIENCE, &l->result);
        flushed(l, status, &l->result);
        return;
    }
    status = opjournal_flush_async(l->flushed, l->queue, FLUSH_TAG, PATIENCE, &l->result);
    if (status != OPJOURNAL_OK) flushed(l, status, &l->result);
}

/* Asks what became of a batch whose outcome was unknown. */
static void settle(lane *l, place *p) {
    char outcome[16] = "";
    const char *text;
    size_t len;
    opjournal_status status;
    opjournal_builder_clear(&l->builder);
    opjournal_query_outcome(&l->builder, opjournal_text(p->segment));
    if (opjournal_builder_object(&l->builder, &text, &len) != OPJOURNAL_BUILD_OK) die(opjournal_builder_message(&l->builder));
    status = opjournal_query(l->handle, text, len, &l->result);
    if (status != OPJOURNAL_OK) {
        note("wrong Outcome %s: %s", p->segment, opjournal_status_name(status));
        p->stage = FREE;
        return;
    }
    (void)opjournal_result_string(l->result.data, l->result.len, outcome, sizeof outcome, NULL);
    if (strcmp(outcome, "unknown") == 0) return;
    note("settled %s %s", p->id, outcome);
    if (strcmp(outcome, "applied") == 0 && p->number > l->written) l->written = p->number;
    p->stage = FREE;
}

/* Takes what has ended out of the queue. */
static void receive(lane *l) {
    opjournal_completion completions[WINDOW + 1];
    size_t count = 0, i;
    (void)opjournal_queue_wait(l->queue, completions, WINDOW + 1, 100, &count);
    for (i = 0; i < count; i++) {
        opjournal_completion *c = &completions[i];
        if (c->tag == FLUSH_TAG) flushed(l, c->status, &c->result);
        else told(l, &l->places[c->tag], c->status, &c->result);
        opjournal_buffer_free(&c->result);
    }
}

/* How many of a lane's batches are in a stage. */
static int count(const lane *l, stage wanted) {
    int i, found = 0;
    for (i = 0; i < l->window; i++) found += l->places[i].stage == wanted;
    return found;
}

static void *run(void *argument) {
    lane *l = argument;
    int i;
    int64_t turn;
    for (turn = 1; !is_stopping() || count(l, FREE) < l->window || l->flushed != 0; turn++) {
        for (i = 0; i < l->window && !is_stopping(); i++)
            if (l->places[i].stage == FREE) submit(l, &l->places[i]);
        if (l->queue != 0 && (count(l, SENT) > 0 || l->flushed != 0)) receive(l);
        if (count(l, UNKNOWN) > 0) {
            /* A flush waits for them. */
            if (count(l, UNKNOWN) == l->window) flush(l);
            for (i = 0; i < l->window; i++)
                if (l->places[i].stage == UNKNOWN) settle(l, &l->places[i]);
            rest(10);
        }
        check(l, l->handle, l->written);
        if (turn % 32 == 0 && !is_stopping()) flush(l);
    }
    return NULL;
}

/* ---- The process --------------------------------------------------------------------------------------------------- */

/* Opens a namespace, however often that fails: the store may be away. */
static opjournal_namespace open_namespace(opjournal_journal journal, opjournal_buffer *result) {
    for (;;) {
        opjournal_namespace handle;
        opjournal_status status;
        begin(&self.open, "namespace_open", PATIENCE);
        status = opjournal_namespace_open(journal, self.ns, strlen(self.ns), PATIENCE, &handle, result);
        end(&self.open);
        if (status == OPJOURNAL_OK) return handle;
        expect("namespace_open", status, result);
        rest(20);
    }
}

static void open_journal(replica *r, opjournal_buffer *result) {
    for (;;) {
        opjournal_status status;
        begin(&self.open, "open", 10000);
        status = opjournal_open(self.config, strlen(self.config), &r->journal, result);
        end(&self.open);
        if (status == OPJOURNAL_OK) break;
        expect("open", status, result);
        rest(20);
    }
    r->handle = open_namespace(r->journal, result);
}

static void *start(void *unused) {
    opjournal_buffer result = {NULL, 0, 0};
    int i, number;
    (void)unused;
    for (i = 0; i < self.journals; i++) open_journal(&self.replicas[i], &result);
    for (i = 0; i < self.journals; i++) {
        for (number = 0; number < self.lanes; number++) {
            lane *l = &self.all[self.started];
            (void)snprintf(l->name, sizeof l->name, "%.60s.%d.%d", self.writer, i, number);
            l->handle = open_namespace(self.replicas[i].journal, &result);
            l->other = self.replicas[(i + 1) % self.journals].handle;
            l->random = self.seed + (uint64_t)(i * MOST_LANES + number) * 1000003;
            l->window = number % 2 == 0 ? WINDOW : 1;
            opjournal_builder_init(&l->builder);
            if (l->window > 1 && opjournal_queue_open(WINDOW + 1, &l->queue, &result) != OPJOURNAL_OK) die("queue_open");
            if (pthread_create(&l->thread, NULL, run, l) != 0) die("pthread_create");
            (void)pthread_mutex_lock(&self.mutex);
            self.started++;
            (void)pthread_mutex_unlock(&self.mutex);
        }
    }
    opjournal_buffer_free(&result);
    puts("ready");
    return NULL;
}

static void stop(void) {
    int i;
    (void)pthread_mutex_lock(&self.mutex);
    self.stopping = 1;
    (void)pthread_mutex_unlock(&self.mutex);
    for (i = 0; i < self.started; i++) (void)pthread_join(self.all[i].thread, NULL);
    puts("stopped");
}

static void ask(const replica *r, opjournal_builder *builder, opjournal_buffer *result) {
    const char *text;
    size_t len;
    if (opjournal_builder_object(builder, &text, &len) != OPJOURNAL_BUILD_OK) die(opjournal_builder_message(builder));
    if (opjournal_query(r->handle, text, len, result) != OPJOURNAL_OK) die(result->data);
    opjournal_builder_clear(builder);
}

/* Flushes every replica, writes the state of the first one to a file, and tells the digests of all and the figures of the first. */
static void look(const char *path) {
    opjournal_builder builder;
    opjournal_buffer result = {NULL, 0, 0};
    int i;
    opjournal_builder_init(&builder);
    fputs("digests ", stdout);
    for (i = 0; i < self.journals; i++) {
        char digest[80];
        opjournal_status status;
        for (;;) {
            begin(&self.open, "flush", PATIENCE);
            status = opjournal_flush(self.replicas[i].handle, PATIENCE, &result);
            end(&self.open);
            if (status == OPJOURNAL_OK) break;
            expect("flush", status, &result);
            rest(20);
        }
        opjournal_query_digest(&builder);
        ask(&self.replicas[i], &builder, &result);
        printf("%s ", member(&result, "sha256", digest, sizeof digest));
    }
    {
        FILE *file = fopen(path, "w");
        opjournal_query_state(&builder);
        ask(&self.replicas[0], &builder, &result);
        if (file == NULL || fwrite(result.data, 1, result.len, file) != result.len || fclose(file) != 0) die(path);
    }
    if (opjournal_stats(self.replicas[0].journal, &result) != OPJOURNAL_OK) die("stats");
    puts(result.data);
    opjournal_buffer_free(&result);
    opjournal_builder_free(&builder);
}

static void parse(int argc, char **argv) {
    int i;
    for (i = 1; i + 1 < argc; i += 2) {
        const char *flag = argv[i], *value = argv[i + 1];
        if (strcmp(flag, "-config") == 0) self.config = value;
        else if (strcmp(flag, "-ns") == 0) self.ns = value;
        else if (strcmp(flag, "-writer") == 0) self.writer = value;
        else if (strcmp(flag, "-ledger") == 0) self.ledger_path = value;
        else if (strcmp(flag, "-journals") == 0) self.journals = atoi(value);
        else if (strcmp(flag, "-lanes") == 0) self.lanes = atoi(value);
        else if (strcmp(flag, "-seed") == 0) self.seed = strtoull(value, NULL, 10);
        else break;
    }
    if (i == argc && self.config != NULL && self.writer != NULL && self.ledger_path != NULL && self.journals >= 1 &&
        self.journals <= MOST_JOURNALS && self.lanes >= 0 && self.lanes <= MOST_LANES)
        return;
    fputs("usage: worker -config JSON [-ns NAME] -writer NAME -ledger FILE [-journals N] [-lanes N] [-seed N]\n", stderr);
    exit(2);
}

int main(int argc, char **argv) {
    char line[4096];
    pthread_t watcher, starter;
    int is_started = 0;
    parse(argc, argv);
    (void)setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    self.ledger = open(self.ledger_path, O_WRONLY | O_APPEND | O_CREAT, 0644);
    if (self.ledger < 0) die(self.ledger_path);
    if (pthread_create(&watcher, NULL, watch, NULL) != 0 || pthread_create(&starter, NULL, start, NULL) != 0) die("pthread_create");
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (!is_started) (void)pthread_join(starter, NULL);
        is_started = 1;
        if (strcmp(line, "stop") == 0) stop();
        else if (strncmp(line, "look ", 5) == 0) look(line + 5);
        else die(line);
    }
    /* Whatever the lanes do at this moment. */
    _exit(0);
}
