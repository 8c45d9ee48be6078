package dev.opjournal;

import com.sun.jna.ptr.LongByReference;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/** An open journal: a replica of its own. */
public final class Journal implements AutoCloseable {
    final Opjournal library;
    final Completions completions;
    final Set<Long> namespaces = ConcurrentHashMap.newKeySet(); // the handles that are open
    private final long handle;
    private boolean closed;

    Journal(Opjournal library, byte[] config) {
        this.library = library;
        this.completions = new Completions(library);
        LongByReference out = new LongByReference();
        try {
            library.call(result -> library.c.opjournal_open(config, Opjournal.size(config), out, result));
        } catch (RuntimeException error) {
            completions.close();
            throw error;
        }
        handle = out.getValue();
    }

    /** Opens a namespace; waits for its first sync. */
    public Namespace namespace(String name) {
        return namespace(name, null);
    }

    public Namespace namespace(String name, Duration timeout) {
        byte[] text = Opjournal.utf8(name);
        LongByReference out = new LongByReference();
        library.call(result ->
                library.c.opjournal_namespace_open(handle, text, Opjournal.size(text), Opjournal.milliseconds(timeout), out, result));
        namespaces.add(out.getValue());
        return new Namespace(this, out.getValue());
    }

    @Override
    public void close() {
        close(null);
    }

    /**
     * Waits for the writes that are on their way. It is closed in any case; throws where the outcome of some stays unknown. Not for a callback of
     * one of its futures, unless through whenCompleteAsync and the like: the thread that it would wait for is its own.
     */
    public synchronized void close(Duration timeout) {
        if (closed) {
            return;
        }
        closed = true;
        try {
            library.call(result -> library.c.opjournal_close(handle, Opjournal.milliseconds(timeout), result));
        } finally {
            completions.close();
            // A handle keeps the memory of its namespace until it is closed, also after its journal.
            namespaces.forEach(library.c::opjournal_namespace_close);
            namespaces.clear();
        }
    }
}
