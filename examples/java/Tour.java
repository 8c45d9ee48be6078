import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import dev.opjournal.Journal;
import dev.opjournal.Namespace;
import dev.opjournal.Opjournal;
import dev.opjournal.OpjournalException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.StringJoiner;
import java.util.concurrent.CompletableFuture;

/**
 * A counter, a map, a set, a list, a scalar and an atomic batch, written, read back and digested.
 *
 * <pre>
 *     java Tour file:///tmp/journal         writes, then reads
 *     java Tour file:///tmp/journal read    reads only
 * </pre>
 *
 * The same program stands beside this one in other languages; all print the same.
 */
public final class Tour {
    private static final PrintStream OUT = new PrintStream(System.out, false, StandardCharsets.UTF_8);

    private Tour() {}

    private static void write(Namespace namespace) {
        // One write that blocks this thread until it is durable.
        namespace.apply(Map.of("op", "ScalarSet", "Key", "greeting", "Value", "Grüße, 世界 👋"));

        // Several on their way at once, each a batch of its own. They share requests to the store.
        CompletableFuture.allOf(
                namespace.submit(Map.of("op", "IntAdd", "Key", "total", "Delta", (1L << 53) + 1)),
                namespace.submit(Map.of("op", "MapSet", "Key", "prices", "MapKey", "tea", "Value", 180)),
                namespace.submit(Map.of("op", "MapSet", "Key", "prices", "MapKey", "café", "Value", 250)),
                namespace.submit(Map.of("op", "SetAdd", "Key", "seen", "Member", "tea")),
                namespace.submit(Map.of("op", "SetAdd", "Key", "seen", "Member", "nul\0inside")))
                .join();

        // One batch over several names: every replica sees all of it or nothing.
        namespace.apply(List.of(
                Map.of("op", "IntAdd", "Key", "stock", "Delta", -1),
                Map.of("op", "IntMapAdd", "Key", "sold", "MapKey", "tea", "Delta", 1),
                Map.of("op", "ListAppend", "Key", "orders", "Value", Map.of("what", "tea", "quantity", 1))));

        // A batch with a mistake in its second op is refused whole.
        try {
            namespace.apply(List.of(
                    Map.of("op", "IntAdd", "Key", "stock", "Delta", 1),
                    Map.of("op", "IntAdd", "Key", "stock", "Delta", "one")));
        } catch (OpjournalException error) {
            OUT.printf("refused: %s at op %d, field %s; outcome %s, retryable %s%n", error.code(), error.details().get("op").getAsInt(),
                    error.details().get("field").getAsString(), error.outcome(), error.retryable() ? "yes" : "no");
            OUT.printf("message: %s%n", error.getMessage());
        }
    }

    private static void read(Namespace namespace) {
        namespace.flush();
        // Several queries in one are answered from one state.
        JsonArray answers = namespace.query(List.of(
                Map.of("op", "ScalarGet", "Key", "greeting"),
                Map.of("op", "IntGet", "Key", "total"),
                Map.of("op", "IntGet", "Key", "stock"),
                Map.of("op", "MapEntries", "Key", "prices"),
                Map.of("op", "SetLen", "Key", "seen"),
                Map.of("op", "SetContains", "Key", "seen", "Member", "nul\0inside"),
                Map.of("op", "ListEntries", "Key", "orders"),
                Map.of("op", "Digest"))).getAsJsonArray();
        JsonObject greeting = answers.get(0).getAsJsonObject();
        StringJoiner prices = new StringJoiner(", ");
        for (JsonElement entry : answers.get(3).getAsJsonArray()) {
            prices.add(entry.getAsJsonArray().get(0).getAsString() + " " + entry.getAsJsonArray().get(1).getAsLong());
        }
        StringJoiner orders = new StringJoiner(", ");
        for (JsonElement order : answers.get(6).getAsJsonArray()) {
            orders.add(order.getAsJsonObject().get("quantity").getAsLong() + " " + order.getAsJsonObject().get("what").getAsString());
        }
        OUT.printf("greeting: %s%n", greeting.has("value") ? greeting.get("value").getAsString() : "none");
        OUT.printf("total: %d%n", answers.get(1).getAsLong());
        OUT.printf("stock: %d%n", answers.get(2).getAsLong());
        OUT.printf("prices: %s%n", prices);
        OUT.printf("seen: %d %s NUL%n", answers.get(4).getAsLong(), answers.get(5).getAsBoolean() ? "with" : "without");
        OUT.printf("orders: %s%n", orders);
        OUT.printf("digest: %s%n", answers.get(7).getAsJsonObject().get("sha256").getAsString());
    }

    private static int run(String[] arguments) {
        boolean reading = arguments.length == 2 && arguments[1].equals("read");
        if (arguments.length != 1 && !reading) {
            System.err.println("usage: Tour STORE-URL [read]");
            return 2;
        }
        try (Journal journal = Opjournal.load().open(Map.of("store", arguments[0], "read_only", reading));
                Namespace namespace = journal.namespace("tour")) {
            if (!reading) {
                write(namespace);
            }
            read(namespace);
            return 0;
        } catch (OpjournalException error) {
            System.err.println("tour: " + error.code() + ": " + error.getMessage());
        } catch (UnsatisfiedLinkError error) {
            System.err.println("tour: " + error.getMessage());
        }
        return 1;
    }

    public static void main(String[] arguments) {
        int status = run(arguments);
        OUT.flush();
        System.exit(status);
    }
}
