package dev.opjournal;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;

/** A handle on one namespace. Ops and queries are anything that Gson writes: one object, such as a Map, or a List of them. */
public final class Namespace implements AutoCloseable {
    private final Journal journal;
    private final Opjournal library;
    private final long handle;

    Namespace(Journal journal, long handle) {
        this.journal = journal;
        this.library = journal.library;
        this.handle = handle;
    }

    /** Writes ops as one atomic batch and waits until it is durable. Gives the segment that holds it. */
    public String apply(Object ops) {
        return apply(ops, null);
    }

    public String apply(Object ops, Duration timeout) {
        byte[] text = Opjournal.encode(ops);
        return segment(library.call(result ->
                library.c.opjournal_apply(handle, text, Opjournal.size(text), Opjournal.milliseconds(timeout), result)));
    }

    /**
     * The same without waiting. Any number may be on their way, and take no threads. One thread completes all futures of a journal: what
     * depends on one and may block belongs into thenApplyAsync and the like.
     */
    public CompletableFuture<String> submit(Object ops) {
        return submit(ops, null);
    }

    public CompletableFuture<String> submit(Object ops, Duration timeout) {
        byte[] text = Opjournal.encode(ops);
        return journal.completions.submit((queue, tag, result) ->
                library.c.opjournal_apply_async(handle, queue, tag, text, Opjournal.size(text), Opjournal.milliseconds(timeout), result))
                .thenApply(Namespace::segment);
    }

    /** What the state in memory answers; a list of queries is answered from one state. Never waits. getAsLong is exact. */
    public JsonElement query(Object query) {
        byte[] text = Opjournal.encode(query);
        return library.call(result -> library.c.opjournal_query(handle, text, Opjournal.size(text), result));
    }

    /** Waits until all that was acknowledged anywhere before this call is visible here. */
    public void flush() {
        flush(null);
    }

    public void flush(Duration timeout) {
        library.call(result -> library.c.opjournal_flush(handle, Opjournal.milliseconds(timeout), result));
    }

    /** Gives the handle up. Writes that were accepted finish. The journal's close does this too. */
    @Override
    public void close() {
        journal.namespaces.remove(handle);
        library.check(library.c.opjournal_namespace_close(handle), new JsonObject());
    }

    private static String segment(JsonElement answer) {
        return answer.getAsJsonObject().get("segment").getAsString();
    }
}
