package dev.opjournal;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.sun.jna.ptr.LongByReference;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/** A queue, and the thread that reads it and completes futures. Accepted means exactly one completion, so none is forgotten. */
final class Completions {
    private static final int SLOTS = 1024;
    private static final int AT_ONCE = 32;

    private final Opjournal library;
    private final long queue;
    private final Map<Long, CompletableFuture<JsonElement>> pending = new ConcurrentHashMap<>();
    private final AtomicLong tags = new AtomicLong(); // the first is 1: 0 is the tag of log records
    private final Thread reader = new Thread(this::read, "opjournal-completions");

    Completions(Opjournal library) {
        this.library = library;
        LongByReference out = new LongByReference();
        library.call(result -> library.c.opjournal_queue_open(SLOTS, out, result));
        queue = out.getValue();
        reader.setDaemon(true);
        reader.start();
    }

    /** An asynchronous call of the ABI, which gets queue and tag. */
    interface Submission {
        int into(long queue, long tag, OpjournalLibrary.Buffer result);
    }

    CompletableFuture<JsonElement> submit(Submission submission) {
        long tag = tags.incrementAndGet();
        CompletableFuture<JsonElement> future = new CompletableFuture<>();
        pending.put(tag, future); // first: the completion may come before the call returns
        try {
            library.call(result -> submission.into(queue, tag, result));
        } catch (OpjournalException refused) { // so no completion will come
            pending.remove(tag);
            future.completeExceptionally(refused);
        }
        return future;
    }

    /** After the journal is closed, which ends every call: lets the reader take what is there, and ends it. */
    void close() {
        CompletableFuture<?>[] owed = pending.values().toArray(new CompletableFuture<?>[0]);
        CompletableFuture.allOf(owed).exceptionally(failed -> null).join();
        library.check(library.c.opjournal_queue_close(queue), new JsonObject());
        try {
            reader.join(); // it may still be at what depends on the last future
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
    }

    private void read() {
        OpjournalLibrary.Completion first = new OpjournalLibrary.Completion();
        OpjournalLibrary.Completion[] completions = (OpjournalLibrary.Completion[]) first.toArray(AT_ONCE);
        OpjournalLibrary.Size max = new OpjournalLibrary.Size(AT_ONCE);
        OpjournalLibrary.Size.ByReference count = new OpjournalLibrary.Size.ByReference();
        while (library.c.opjournal_queue_wait(queue, first, max, OpjournalLibrary.OPJOURNAL_TIMEOUT_NEVER, count) == OpjournalLibrary.OPJOURNAL_OK) {
            for (int i = 0; i < count.getValue(); i++) {
                complete(completions[i]);
            }
        }
    }

    private void complete(OpjournalLibrary.Completion completion) {
        CompletableFuture<JsonElement> future = pending.getOrDefault(completion.tag, new CompletableFuture<>()); // or of a kind not known here
        try {
            future.complete(library.take(completion.status, completion.result));
        } catch (RuntimeException error) {
            future.completeExceptionally(error);
        }
        pending.remove(completion.tag);
    }
}
