import com.google.gson.JsonElement;
import dev.opjournal.Journal;
import dev.opjournal.Namespace;
import dev.opjournal.Opjournal;
import dev.opjournal.OpjournalException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** What the tour does not show of the wrapper. Prints `ok NAME` or `not ok NAME` for each test. */
public final class OpjournalTest {
    private static final Map<String, Object> ADD = Map.of("op", "IntAdd", "Key", "n", "Delta", 1);
    private static final Map<String, Object> GET = Map.of("op", "IntGet", "Key", "n");

    private static final Opjournal LIBRARY = Opjournal.load();
    private static int failures;

    private OpjournalTest() {}

    private interface Body {
        void run(Journal journal, Namespace namespace) throws Exception;
    }

    private static void test(String name, long commitIntervalMs, Body body) {
        Map<String, Object> config = Map.of("store", "memory:" + UUID.randomUUID(), "commit_interval_ms", commitIntervalMs);
        try (Journal journal = LIBRARY.open(config); Namespace namespace = journal.namespace("test")) {
            body.run(journal, namespace);
            System.out.println("ok " + name);
        } catch (Exception error) {
            System.out.println("not ok " + name + ": " + error);
            failures++;
        }
    }

    private static void same(Object wanted, Object got) {
        if (!wanted.equals(got)) {
            throw new IllegalStateException("wanted " + wanted + ", got " + got);
        }
    }

    /** Code and outcome of what a call throws. */
    private static String thrown(Callable<?> call) throws Exception {
        try {
            return "nothing, but gave " + call.call();
        } catch (OpjournalException error) {
            return error.code() + " " + error.outcome();
        } catch (CompletionException error) {
            return thrown(() -> {
                throw (Exception) error.getCause();
            });
        }
    }

    public static void main(String[] arguments) {
        test("many threads write at once", 0, (journal, namespace) -> {
            ExecutorService threads = Executors.newFixedThreadPool(8);
            List<Future<String>> writes = new ArrayList<>();
            for (int i = 0; i < 200; i++) {
                writes.add(threads.submit(() -> namespace.apply(ADD)));
                writes.add(threads.submit(() -> namespace.submit(ADD).join()));
            }
            for (Future<String> write : writes) {
                write.get();
            }
            threads.shutdown();
            same(400L, namespace.query(GET).getAsLong());
        });
        // The second segment may not begin before an hour is over, so these certainly wait until the close gives them up.
        test("what is owed comes at close", 3_600_000, (journal, namespace) -> {
            namespace.apply(ADD);
            List<CompletableFuture<String>> writes = new ArrayList<>();
            for (int i = 0; i < 100; i++) {
                writes.add(namespace.submit(ADD));
            }
            journal.close(java.time.Duration.ZERO);
            for (CompletableFuture<String> write : writes) {
                same(true, write.isDone());
                same("CLOSED none", thrown(write::join));
            }
        });
        test("what is refused takes no completion", 0, (journal, namespace) -> {
            same("INVALID none", thrown(namespace.submit(Map.of("op", "IntAd", "Key", "n", "Delta", 1))::join));
            namespace.submit(ADD).join();
            same(1L, namespace.query(GET).getAsLong());
        });
        test("integers keep all their digits", 0, (journal, namespace) -> {
            for (long wanted : new long[] {Long.MAX_VALUE, Long.MIN_VALUE, (1L << 53) + 1}) {
                namespace.apply(Map.of("op", "IntSet", "Key", "n", "Value", wanted));
                JsonElement answer = namespace.query(GET);
                same(wanted, answer.getAsLong());
            }
        });
        test("a text that is none is refused", 0, (journal, namespace) -> {
            same("INVALID none", thrown(() -> journal.namespace("test\0")));
            try {
                namespace.apply(Map.of("op", "SetAdd", "Key", "s", "Member", "half of a pair: \ud83d"));
                throw new IllegalStateException("taken");
            } catch (IllegalArgumentException expected) {
                same(0L, namespace.query(Map.of("op", "SetLen", "Key", "s")).getAsLong());
            }
        });
        test("a journal takes its namespaces along", 0, (journal, namespace) -> {
            // A store in memory is gone with all that holds it, so a second one of that name is empty.
            String store = "memory:" + UUID.randomUUID();
            for (int i = 0; i < 2; i++) {
                try (Journal other = LIBRARY.open(Map.of("store", store))) {
                    @SuppressWarnings("resource") // left to the journal
                    Namespace left = other.namespace("test");
                    same(0L, left.query(GET).getAsLong());
                    left.apply(ADD);
                }
            }
        });
        test("use after close is an error", 0, (journal, namespace) -> {
            journal.close();
            journal.close();
            same("CLOSED none", thrown(() -> namespace.query(GET)));
            same("CLOSED none", thrown(() -> namespace.apply(ADD)));
            same("CLOSED none", thrown(namespace.submit(ADD)::join));
        });
        System.exit(failures == 0 ? 0 : 1);
    }
}
