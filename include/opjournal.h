/*
 * opjournal: shared counters, maps, sets, lists and scalars for a fleet of processes, kept in a plain S3 bucket.
 *
 * Generated from src/ffi; do not edit. docs/c-abi.md holds the table of all results, the configuration, and examples.
 *
 * THE RULES
 *
 * Threads. Every function may be called from any thread, from any number of threads at once. What blocks: opjournal_open,
 *   opjournal_close, opjournal_namespace_open, opjournal_apply, opjournal_flush, opjournal_quarantine and opjournal_queue_wait,
 *   each until its timeout; opjournal_log_to and opjournal_log_to_queue, until a call of the old sink that is under way returns.
 *   Everything else never blocks and never waits for the store.
 * Status. Each function returns a number; OPJOURNAL_OK is 0. There is no "last error". No panic and no exception crosses the
 *   boundary: a bug in the library is OPJOURNAL_INTERNAL.
 * Results. `result` may be NULL. Otherwise it holds JSON after the call: on OPJOURNAL_OK the answer, on failure
 *   {"code":NAME,"message":TEXT,"outcome":"none" or "unknown","retryable":BOOL,...} with members that name the place. Ignore
 *   members that you do not know. "unknown" means that a write may have taken effect; "none" that it certainly has not and never
 *   will. "retryable" means that the same call may succeed later although nobody changes anything.
 * Out-parameters other than `result` are written only on OPJOURNAL_OK (but see opjournal_queue_fd).
 * Texts in are pointer and length, without NUL, in UTF-8, borrowed for the call only. NULL with length 0 is the empty text; NULL
 *   with another length is OPJOURNAL_INVALID, and so is a length above PTRDIFF_MAX. A text must not lie in the buffer that is
 *   given for the result of the same call.
 * Buffers. See opjournal_buffer. Zero it once, reuse it, free it with opjournal_buffer_free().
 * Handles are numbers that are never reused; 0 is none. Any order of closing is safe, closing twice is OK, and closing while
 *   another thread is in a call is safe: that call ends as it would, or with OPJOURNAL_CLOSED. Use after close is OPJOURNAL_CLOSED
 *   or OPJOURNAL_BAD_HANDLE, never a crash. What was never given out, or is of another kind, is OPJOURNAL_BAD_HANDLE.
 * Timeouts, as in poll(2): more than 0 milliseconds; 0 do not wait; -1 for ever; OPJOURNAL_TIMEOUT_DEFAULT as the function says.
 *   Anything else is OPJOURNAL_INVALID. A timeout bounds the wait, never a write that is already on its way: one not yet sent is
 *   withdrawn (OPJOURNAL_TIMED_OUT, outcome "none"); one that was sent may still take effect (OPJOURNAL_TIMED_OUT, outcome
 *   "unknown", and "segment" names it).
 * Asynchronous calls (..._async) never wait. Accepted (OPJOURNAL_OK) means exactly one completion in the queue, also at close or
 *   cancel; refused means none. Past the limit "waiting_bytes", or with no free slot in the queue, a call is refused with
 *   OPJOURNAL_BUSY. Nothing is ever dropped but log records, which are counted. Completions come in any order.
 * The descriptor of a queue belongs to the library. See opjournal_queue_fd().
 * No callbacks but the log sink. See opjournal_log_to().
 * Library threads are few, are named "opjournal-...", and block all signals. The library installs no signal handler and no
 *   atexit hook.
 * After fork() every call in the child returns OPJOURNAL_FORKED, if the parent had used the library; only
 *   opjournal_abi_version, opjournal_version, opjournal_status_name and opjournal_buffer_free go on working. A child that calls
 *   exec is free of this.
 * Unloading. dlopen works; the library stays mapped after dlclose, as its threads go on.
 * Secrets never appear in results, logs or figures.
 */


#ifndef OPJOURNAL_H
#define OPJOURNAL_H

#include <stddef.h>
#include <stdint.h>

/**
 * The version of this ABI that the header describes. See opjournal_abi_version().
 */
#define OPJOURNAL_ABI_VERSION 1

/**
 * Do not wait.
 */
#define OPJOURNAL_TIMEOUT_NONE 0

/**
 * Wait for ever.
 */
#define OPJOURNAL_TIMEOUT_NEVER -1

/**
 * Wait as long as the function's documentation says.
 */
#define OPJOURNAL_TIMEOUT_DEFAULT INT64_MIN

/**
 * The completion of opjournal_namespace_open_async().
 */
#define OPJOURNAL_KIND_NAMESPACE_OPEN 1

/**
 * The completion of opjournal_apply_async().
 */
#define OPJOURNAL_KIND_APPLY 2

/**
 * The completion of opjournal_flush_async().
 */
#define OPJOURNAL_KIND_FLUSH 3

/**
 * The completion of opjournal_close_async().
 */
#define OPJOURNAL_KIND_CLOSE 4

/**
 * A log record; see opjournal_log_to_queue().
 */
#define OPJOURNAL_KIND_LOG 5

/**
 * Log nothing.
 */
#define OPJOURNAL_LOG_OFF 0

/**
 * Something failed that the library does not mend by itself.
 */
#define OPJOURNAL_LOG_ERROR 1

/**
 * Something is wrong that the library works around, or that it will try again.
 */
#define OPJOURNAL_LOG_WARN 2

/**
 * What a person wants to see of a healthy process: opened, closed, folded.
 */
#define OPJOURNAL_LOG_INFO 3

/**
 * Each tick and each segment.
 */
#define OPJOURNAL_LOG_DEBUG 4

/**
 * Each request and each decision.
 */
#define OPJOURNAL_LOG_TRACE 5

/**
 * The result of a call: one of the OPJOURNAL_ status numbers. The numbers are never changed or reused; new ones may be added, so treat
 * one that you do not know as a failure.
 */
typedef int32_t opjournal_status;

/**
 * A text that the library writes. Set all members to zero once, then hand the same buffer to call after call: it grows as needed and is
 * reused, so that a call in a loop allocates nothing. After a call `data` points to `len` bytes of JSON in UTF-8, followed by a NUL that
 * `len` does not count. What it held before is gone. It belongs to one thread at a time; free it with opjournal_buffer_free(). Never
 * change its members yourself and never copy the struct while both copies are in use.
 */
typedef struct opjournal_buffer {
    /**
     * The text; NULL before the first call.
     */
    char *data;
    /**
     * How many bytes the text has, without the NUL at its end.
     */
    size_t len;
    /**
     * How many bytes are allocated. The library's own: never change it.
     */
    size_t capacity;
} opjournal_buffer;

/**
 * An open journal: a replica of its own, from opjournal_open().
 */
typedef uint64_t opjournal_journal;

/**
 * A queue of completions, from opjournal_queue_open(). Any number of journals may use one queue, and any number of threads may read it.
 */
typedef uint64_t opjournal_queue;

/**
 * A handle on one namespace of a journal, from opjournal_namespace_open().
 */
typedef uint64_t opjournal_namespace;

/**
 * One asynchronous call that has ended, or one log record. Output only: what a completion held before it was filled is neither read nor
 * freed. The caller frees `result` with opjournal_buffer_free(). More kinds may come: free the result of one that you do not know, and
 * ignore it.
 */
typedef struct opjournal_completion {
    /**
     * The tag that was given with the call; 0 for a log record.
     */
    uint64_t tag;
    /**
     * How the call ended.
     */
    opjournal_status status;
    /**
     * Which call it was: one of the OPJOURNAL_KIND_ numbers.
     */
    uint32_t kind;
    /**
     * The answer, or the error, as the blocking form of the call would give it.
     */
    struct opjournal_buffer result;
    /**
     * Zero.
     */
    uint64_t reserved[2];
} opjournal_completion;

/**
 * The call did what it says.
 */
#define OPJOURNAL_OK 0

/**
 * A text or an argument is wrong; the message names the place.
 */
#define OPJOURNAL_INVALID 1

/**
 * The handle is zero, of another kind, or was never given out by this copy of the library in this process.
 */
#define OPJOURNAL_BAD_HANDLE 2

/**
 * The journal, namespace or queue was closed.
 */
#define OPJOURNAL_CLOSED 3

/**
 * A limit on what may wait or be open is reached; try again later.
 */
#define OPJOURNAL_BUSY 4

/**
 * The caller's time is over.
 */
#define OPJOURNAL_TIMED_OUT 5

/**
 * The caller withdrew the call.
 */
#define OPJOURNAL_CANCELLED 6

/**
 * The namespace has had no good tick yet.
 */
#define OPJOURNAL_NOT_READY 7

/**
 * The bucket or directory does not exist.
 */
#define OPJOURNAL_NO_SUCH_STORE 8

/**
 * The store refuses the credentials, or the right to do this.
 */
#define OPJOURNAL_DENIED 9

/**
 * The store cannot be reached, or answers with errors.
 */
#define OPJOURNAL_UNAVAILABLE 10

/**
 * The store ignores conditions that the journal stands on; nothing is written to it.
 */
#define OPJOURNAL_UNSAFE_STORE 11

/**
 * An object in the bucket cannot be read by this version of the library.
 */
#define OPJOURNAL_UNREADABLE 12

/**
 * The bucket's segments say that a rollup existed which is gone.
 */
#define OPJOURNAL_ROLLUP_LOST 13

/**
 * The journal was opened with "read_only".
 */
#define OPJOURNAL_READ_ONLY 14

/**
 * A text or an object is over its limit.
 */
#define OPJOURNAL_TOO_LARGE 15

/**
 * This process was forked from one that was using the library.
 */
#define OPJOURNAL_FORKED 16

/**
 * A bug in the library. What was called may have been done in part.
 */
#define OPJOURNAL_INTERNAL 17

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Returns the version of the ABI that the loaded library has. It grows by one whenever something is added; nothing is ever taken away
 * under the same SONAME. A host that was built against this header works with every library whose version is at least
 * OPJOURNAL_ABI_VERSION.
 *
 * Never blocks, never fails, works in a forked child.
 */
uint32_t opjournal_abi_version(void);

/**
 * Returns the version of the library, such as "0.1.0". The text is static: never free it.
 *
 * Never blocks, never fails, works in a forked child.
 */
const char *opjournal_version(void);

/**
 * Returns the name of a status without its prefix, as the member "code" of a result spells it: "INVALID" for OPJOURNAL_INVALID; "UNKNOWN"
 * for a number that this library does not know. The text is static: never free it.
 *
 * Never blocks, never fails, works in a forked child.
 */
const char *opjournal_status_name(opjournal_status status);

/**
 * Frees what a buffer holds and sets its members to zero, so that it may be used again or freed again. NULL is allowed.
 *
 * Never blocks, never fails, works in a forked child.
 */
void opjournal_buffer_free(struct opjournal_buffer *buffer);

/**
 * Opens a journal: checks the configuration, the credentials, and that the bucket or directory is there. Writes nothing. Each call opens a
 * replica of its own, with its own state, writer and connections, also on a store that is open already.
 *
 * Blocks: at most 10 seconds.
 *
 * config, config_len: the configuration, a JSON object; every member stands in docs/c-abi.md. `{"store":"s3://BUCKET/ROOT"}` is enough
 * for S3, `{"store":"file:///DIR"}` for a directory, `{"store":"memory:NAME"}` for the memory of this process.
 * out: where the handle is written on OPJOURNAL_OK. Close it with opjournal_close().
 * result: on OPJOURNAL_OK `{"warnings":[TEXT,...]}`; otherwise the error; the member "member" names what is wrong in the configuration.
 *
 * Returns OPJOURNAL_OK; OPJOURNAL_INVALID: the configuration is wrong; OPJOURNAL_NO_SUCH_STORE; OPJOURNAL_DENIED; OPJOURNAL_UNAVAILABLE;
 * OPJOURNAL_TIMED_OUT; OPJOURNAL_TOO_LARGE: the configuration is longer than 1 MiB; OPJOURNAL_BUSY: too many
 * journals are open (65,536); OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
 */
opjournal_status opjournal_open(const char *config,
                                size_t config_len,
                                opjournal_journal *out,
                                struct opjournal_buffer *result);

/**
 * Closes a journal with all its namespaces: takes no more work, waits for the writes that are on their way until the timeout, and always
 * closes: at the timeout it returns OPJOURNAL_TIMED_OUT and lists the segments whose outcome stays unknown; the journal is closed all the
 * same. Calls that wait on the journal end; every completion that is owed is delivered. Handles on its namespaces may be closed before or
 * after. Closing twice is OK.
 *
 * Blocks, until the timeout: default 10 s.
 *
 * result: on OPJOURNAL_OK `{"unknown":[]}`; on OPJOURNAL_TIMED_OUT the error, with outcome "unknown" and "unknown": the segments, as
 * "NAMESPACE/SEGMENT".
 *
 * Returns OPJOURNAL_OK: closed, now or earlier; OPJOURNAL_TIMED_OUT: closed, with writes whose outcome is unknown; OPJOURNAL_INVALID: the
 * timeout; OPJOURNAL_BAD_HANDLE; OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
 */
opjournal_status opjournal_close(opjournal_journal journal,
                                 int64_t timeout_ms,
                                 struct opjournal_buffer *result);

/**
 * Figures of a journal and its namespaces, for people and monitors: what is open, how old each state is, what waits, what failed last. No
 * secrets.
 *
 * Never blocks.
 *
 * result: on OPJOURNAL_OK a JSON object; its members stand in docs/c-abi.md.
 *
 * Returns OPJOURNAL_OK; OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED; OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
 */
opjournal_status opjournal_stats(opjournal_journal journal,
                                 struct opjournal_buffer *result);

/**
 * Closes a journal as opjournal_close() does, and delivers the answer to a queue as a completion of kind OPJOURNAL_KIND_CLOSE. From the
 * moment it is accepted the journal takes no more work. opjournal_cancel() ends the wait as its timeout would: the completion is then
 * OPJOURNAL_CANCELLED, with "unknown", where something stays unknown.
 *
 * Never blocks. Accepted means exactly one completion; refused means none, and the journal stays open.
 *
 * tag: comes back with the completion. timeout_ms: bounds the wait; default 10 s.
 * result: on OPJOURNAL_OK `{}`; otherwise the error. The completion's result is that of opjournal_close().
 *
 * Returns OPJOURNAL_OK: accepted; OPJOURNAL_INVALID: the timeout; OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED: the queue, or the journal already;
 * OPJOURNAL_BUSY: no free slot in the queue; OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
 * The completion: OPJOURNAL_OK; OPJOURNAL_TIMED_OUT; OPJOURNAL_CANCELLED; OPJOURNAL_INTERNAL.
 */
opjournal_status opjournal_close_async(opjournal_journal journal,
                                       opjournal_queue queue,
                                       uint64_t tag,
                                       int64_t timeout_ms,
                                       struct opjournal_buffer *result);

/**
 * Opens a namespace, and returns once its first tick is done, so that queries answer from then on. On failure nothing stays open; what was
 * downloaded may be kept for the next try. The same name again gives another handle on the same namespace.
 *
 * Blocks, until the timeout: default 30 s.
 *
 * name, name_len: matches `^[A-Za-z0-9][A-Za-z0-9_-]*$`, or is empty: the root namespace.
 * out: where the handle is written on OPJOURNAL_OK. Close it with opjournal_namespace_close(), before or after the journal.
 * result: on OPJOURNAL_OK `{}`; otherwise the error: that of the last tick, where there was one.
 *
 * Returns OPJOURNAL_OK; OPJOURNAL_INVALID: the name or the timeout; OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED; OPJOURNAL_TIMED_OUT;
 * OPJOURNAL_NO_SUCH_STORE; OPJOURNAL_DENIED; OPJOURNAL_UNAVAILABLE; OPJOURNAL_UNSAFE_STORE; OPJOURNAL_UNREADABLE: an object of the namespace, which
 * "object" names; OPJOURNAL_ROLLUP_LOST; OPJOURNAL_TOO_LARGE: the state or an object is over its limit; OPJOURNAL_BUSY: too many namespaces
 * are open (65,536); OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
 */
opjournal_status opjournal_namespace_open(opjournal_journal journal,
                                          const char *name,
                                          size_t name_len,
                                          int64_t timeout_ms,
                                          opjournal_namespace *out,
                                          struct opjournal_buffer *result);

/**
 * Gives a handle on a namespace up. Writes that were accepted finish, and their completions are delivered. With its last handle the
 * namespace is no longer synced. Closing twice is OK.
 *
 * Never blocks.
 *
 * Returns OPJOURNAL_OK: closed, now or earlier; OPJOURNAL_BAD_HANDLE; OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
 */
opjournal_status opjournal_namespace_close(opjournal_namespace ns);

/**
 * Writes a batch and waits until it is durable. The ops of a batch take effect together or not at all. Batches that are submitted through
 * one handle, one after the other, take effect in that order; this replica sees the batch in every query after the call.
 *
 * Blocks, until the timeout: default 30 s. Not yet sent at the timeout, the batch is withdrawn (outcome "none"); already on its way, it may
 * still take effect (outcome "unknown"): "segment" names it for the query Outcome, and opjournal_flush() waits until it is settled.
 *
 * ops, ops_len: one op or an array of ops, as JSON.
 * result: on OPJOURNAL_OK `{"segment":KEY}`; otherwise the error, with "op" (index) and "field" where the ops are wrong.
 *
 * Returns OPJOURNAL_OK: durable; OPJOURNAL_INVALID: the ops or the timeout; OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED: look at the outcome where
 * that happened while this call waited; OPJOURNAL_BUSY: over the limit "waiting_bytes"; OPJOURNAL_TIMED_OUT; OPJOURNAL_NOT_READY;
 * OPJOURNAL_NO_SUCH_STORE; OPJOURNAL_DENIED; OPJOURNAL_UNAVAILABLE; OPJOURNAL_UNSAFE_STORE; OPJOURNAL_UNREADABLE; OPJOURNAL_ROLLUP_LOST;
 * OPJOURNAL_READ_ONLY; OPJOURNAL_TOO_LARGE: the batch or the state; OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
 */
opjournal_status opjournal_apply(opjournal_namespace ns,
                                 const char *ops,
                                 size_t ops_len,
                                 int64_t timeout_ms,
                                 struct opjournal_buffer *result);

/**
 * Answers a query from the state that this replica holds, without asking the store. An array of queries is answered as an array, all from
 * one consistent state.
 *
 * Never blocks; any number of threads may query at once.
 *
 * query, query_len: one query or an array of queries, as JSON.
 * result: on OPJOURNAL_OK the answer, as canonical JSON; otherwise the error.
 *
 * Returns OPJOURNAL_OK; OPJOURNAL_INVALID: the query; OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED; OPJOURNAL_NOT_READY; OPJOURNAL_FORKED;
 * OPJOURNAL_INTERNAL.
 */
opjournal_status opjournal_query(opjournal_namespace ns,
                                 const char *query,
                                 size_t query_len,
                                 struct opjournal_buffer *result);

/**
 * Waits until everything that was acknowledged anywhere, by any replica, before this call is visible here, and until the outcome of every
 * write of this replica that was unknown is settled.
 *
 * Blocks, until the timeout: default 30 s.
 *
 * result: on OPJOURNAL_OK `{}`; otherwise the error.
 *
 * Returns OPJOURNAL_OK; OPJOURNAL_INVALID: the timeout; OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED; OPJOURNAL_TIMED_OUT; OPJOURNAL_NO_SUCH_STORE;
 * OPJOURNAL_DENIED; OPJOURNAL_UNAVAILABLE; OPJOURNAL_UNSAFE_STORE; OPJOURNAL_UNREADABLE: a segment, which "object" names; OPJOURNAL_ROLLUP_LOST;
 * OPJOURNAL_TOO_LARGE; OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
 */
opjournal_status opjournal_flush(opjournal_namespace ns,
                                 int64_t timeout_ms,
                                 struct opjournal_buffer *result);

/**
 * Moves an unreadable segment aside, so that the namespace can be folded and opened again. For people: what the segment holds takes no
 * effect from then on; its object is kept in the bucket. Refused for a segment that this library can read, and for one of a newer format.
 *
 * Blocks, until the timeout: default 30 s.
 *
 * key, key_len: the segment, as "segment" or "object" of the error names it.
 * result: on OPJOURNAL_OK `{"moved_to":KEY}`; otherwise the error.
 *
 * Returns OPJOURNAL_OK; OPJOURNAL_INVALID: the timeout, or the key: no segment's, not listed, readable, or of a newer format;
 * OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED; OPJOURNAL_TIMED_OUT: doing it again is safe; OPJOURNAL_NO_SUCH_STORE; OPJOURNAL_DENIED;
 * OPJOURNAL_UNAVAILABLE; OPJOURNAL_UNSAFE_STORE; OPJOURNAL_UNREADABLE: the rollup; OPJOURNAL_ROLLUP_LOST; OPJOURNAL_READ_ONLY;
 * OPJOURNAL_TOO_LARGE; OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
 */
opjournal_status opjournal_quarantine(opjournal_namespace ns,
                                      const char *key,
                                      size_t key_len,
                                      int64_t timeout_ms,
                                      struct opjournal_buffer *result);

/**
 * Opens a namespace as opjournal_namespace_open() does, and delivers the handle to a queue as a completion of kind
 * OPJOURNAL_KIND_NAMESPACE_OPEN.
 *
 * Never blocks. Accepted means exactly one completion; refused means none.
 *
 * name, name_len: as for opjournal_namespace_open(). tag: comes back with the completion. timeout_ms: bounds the wait; default 30 s.
 * result: on OPJOURNAL_OK `{}`; otherwise the error. The completion's result is `{"namespace":HANDLE}`, or the error.
 *
 * Returns OPJOURNAL_OK: accepted; OPJOURNAL_INVALID: the name or the timeout; OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED; OPJOURNAL_BUSY: no free slot
 * in the queue; OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
 * The completion: what opjournal_namespace_open() returns, or OPJOURNAL_CANCELLED.
 */
opjournal_status opjournal_namespace_open_async(opjournal_journal journal,
                                                opjournal_queue queue,
                                                uint64_t tag,
                                                const char *name,
                                                size_t name_len,
                                                int64_t timeout_ms,
                                                struct opjournal_buffer *result);

/**
 * Writes a batch as opjournal_apply() does, and delivers the outcome to a queue as a completion of kind OPJOURNAL_KIND_APPLY. The ops are
 * checked before the call returns. Batches take effect in the order in which they were submitted through one handle; their completions
 * may come in another order.
 *
 * Never blocks. Accepted means exactly one completion; refused means none, and that nothing is written.
 *
 * ops, ops_len: as for opjournal_apply(). tag: comes back with the completion. timeout_ms: bounds the wait; default 30 s.
 * result: on OPJOURNAL_OK `{}`; otherwise the error. The completion's result is that of opjournal_apply().
 *
 * Returns OPJOURNAL_OK: accepted; OPJOURNAL_INVALID: the ops or the timeout; OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED; OPJOURNAL_BUSY: no free slot in
 * the queue, or over the limit "waiting_bytes"; OPJOURNAL_NOT_READY; OPJOURNAL_UNSAFE_STORE; OPJOURNAL_READ_ONLY; OPJOURNAL_TOO_LARGE;
 * OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
 * The completion: what opjournal_apply() returns, or OPJOURNAL_CANCELLED: with outcome "none" where the batch was withdrawn before it was
 * sent, "unknown" where it was already on its way.
 */
opjournal_status opjournal_apply_async(opjournal_namespace ns,
                                       opjournal_queue queue,
                                       uint64_t tag,
                                       const char *ops,
                                       size_t ops_len,
                                       int64_t timeout_ms,
                                       struct opjournal_buffer *result);

/**
 * Flushes as opjournal_flush() does, and delivers the answer to a queue as a completion of kind OPJOURNAL_KIND_FLUSH.
 *
 * Never blocks. Accepted means exactly one completion; refused means none.
 *
 * tag: comes back with the completion. timeout_ms: bounds the wait; default 30 s.
 * result: on OPJOURNAL_OK `{}`; otherwise the error. The completion's result is that of opjournal_flush().
 *
 * Returns OPJOURNAL_OK: accepted; OPJOURNAL_INVALID: the timeout; OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED; OPJOURNAL_BUSY: no free slot in the
 * queue; OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
 * The completion: what opjournal_flush() returns, or OPJOURNAL_CANCELLED.
 */
opjournal_status opjournal_flush_async(opjournal_namespace ns,
                                       opjournal_queue queue,
                                       uint64_t tag,
                                       int64_t timeout_ms,
                                       struct opjournal_buffer *result);

/**
 * Opens a queue of completions.
 *
 * Never blocks.
 *
 * capacity: how many calls may be owed or unread at once, 1 to 1,048,576. A call takes its slot when it is accepted and gives it back when
 * its completion is read.
 * out: where the handle is written on OPJOURNAL_OK. Close it with opjournal_queue_close().
 * result: on OPJOURNAL_OK `{}`; otherwise the error.
 *
 * Returns OPJOURNAL_OK; OPJOURNAL_INVALID: the capacity, or out is NULL; OPJOURNAL_BUSY: too many queues are open (65,536); OPJOURNAL_FORKED;
 * OPJOURNAL_INTERNAL.
 */
opjournal_status opjournal_queue_open(uint32_t capacity,
                                      opjournal_queue *out,
                                      struct opjournal_buffer *result);

/**
 * Gives a descriptor that is readable while completions wait in the queue, for poll, epoll, kqueue and the like. It belongs to the library:
 * do not read, write or close it; dup() it for an event loop that wants to own it. It is close-on-exec, the same at every call, and is
 * closed with the queue. When it turns readable, call opjournal_queue_poll() until `count` is less than `max`; with that an edge-triggered
 * loop misses nothing either.
 *
 * Never blocks.
 *
 * out: where the descriptor is written, or -1 on every failure.
 *
 * Returns OPJOURNAL_OK; OPJOURNAL_INVALID: out is NULL, or the system gives none (none supported, or none left: it may be asked again);
 * OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED; OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
 */
opjournal_status opjournal_queue_fd(opjournal_queue queue,
                                    int *out);

/**
 * Gives up every call of this queue that has this tag and has not ended (tags need not be unique). A batch that was not yet sent is
 * withdrawn: OPJOURNAL_CANCELLED, outcome "none"; one that is on its way completes at once as OPJOURNAL_CANCELLED, outcome "unknown", with
 * "segment". Other calls complete as OPJOURNAL_CANCELLED. The completion comes through the queue as always, exactly once; a call that ended
 * at the same moment completes as it ended.
 *
 * Never blocks.
 *
 * Returns OPJOURNAL_OK, also where no such call is left; OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED; OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
 */
opjournal_status opjournal_cancel(opjournal_queue queue,
                                  uint64_t tag);

/**
 * Fetches completions that wait in the queue, oldest first, and gives their slots back.
 *
 * Never blocks.
 *
 * out, max: an array of max completions, at least 1. count: how many were filled, 0 where none waits. The caller frees the result of each.
 * Both are written on OPJOURNAL_OK only.
 *
 * Returns OPJOURNAL_OK, also with none; OPJOURNAL_INVALID: out or count is NULL, or max is 0; OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED;
 * OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
 */
opjournal_status opjournal_queue_poll(opjournal_queue queue,
                                      struct opjournal_completion *out,
                                      size_t max,
                                      size_t *count);

/**
 * Fetches completions as opjournal_queue_poll() does, and waits for the first where none is there.
 *
 * Blocks, until the timeout: default for ever.
 *
 * out, max, count: as for opjournal_queue_poll().
 *
 * Returns OPJOURNAL_OK: count is at least 1; OPJOURNAL_TIMED_OUT; OPJOURNAL_INVALID: out or count is NULL, max is 0, or the timeout;
 * OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED: the queue, also while this call waits; OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
 */
opjournal_status opjournal_queue_wait(opjournal_queue queue,
                                      struct opjournal_completion *out,
                                      size_t max,
                                      int64_t timeout_ms,
                                      size_t *count);

/**
 * Closes a queue that owes nothing: every accepted call has ended and every completion, log records among them, was read. Where log records
 * go to this queue, turn them off first. Threads that wait on it wake with OPJOURNAL_CLOSED. Closing twice is OK.
 *
 * Never blocks.
 *
 * Returns OPJOURNAL_OK: closed, now or earlier; OPJOURNAL_BUSY: completions are owed or unread, and the queue stays open;
 * OPJOURNAL_BAD_HANDLE; OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
 */
opjournal_status opjournal_queue_close(opjournal_queue queue);

/**
 * Sends the library's log records to a function of the host. There is one destination in the process, which every call of this function and
 * of opjournal_log_to_queue() replaces. Once the call has returned, the function that was there before is never called again.
 *
 * Blocks only until a call of the old function that is under way returns.
 *
 * level: the least severe level that is wanted, OPJOURNAL_LOG_ERROR (1) to OPJOURNAL_LOG_TRACE (5). With OPJOURNAL_LOG_OFF (0), or where sink
 * is NULL, nothing is logged, which also costs nothing; that is how a process starts.
 * sink: called with context, the level of the record, and the record: len bytes of JSON, one object, and a NUL, all gone when it returns. It
 * is called on any thread, threads of the library among them, one call at a time; it holds up whoever logs, so it must be quick, and must
 * not call any function of the library.
 * context: handed to sink as it is.
 *
 * Returns OPJOURNAL_OK; OPJOURNAL_INVALID: the level, or Rust code in this process that shares the library's copy of `tracing` has installed a
 * subscriber of its own; OPJOURNAL_BUSY: called by a sink; OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
 */
opjournal_status opjournal_log_to(int32_t level,
                                  void (*sink)(void *context, int32_t level, const char *json, size_t len),
                                  void *context);

/**
 * Sends the library's log records to a queue, as completions of kind OPJOURNAL_KIND_LOG whose result is the record, a JSON object. Replaces
 * the destination as opjournal_log_to() does. Records take a slot until they are read, and never more than half of the slots; one that
 * finds none is dropped, and the next that finds one counts those dropped before it in its member "dropped".
 *
 * Blocks only until a call of an old sink that is under way returns.
 *
 * level: as for opjournal_log_to(). With OPJOURNAL_LOG_OFF nothing is logged, and queue may be 0.
 *
 * Returns OPJOURNAL_OK; OPJOURNAL_INVALID: as for opjournal_log_to(); OPJOURNAL_BAD_HANDLE; OPJOURNAL_CLOSED; OPJOURNAL_BUSY: called by a sink;
 * OPJOURNAL_FORKED; OPJOURNAL_INTERNAL.
 */
opjournal_status opjournal_log_to_queue(int32_t level,
                                        opjournal_queue queue);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* OPJOURNAL_H */
