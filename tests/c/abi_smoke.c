/* The whole way through the ABI, on a store in memory and on one in a directory. */
#include "abi.h"
#include <sys/stat.h>

static void use(const char *store) {
    opjournal_buffer result = {NULL, 0, 0};
    opjournal_journal journal = open_journal(store, ",\"sync_interval_ms\":60000");
    opjournal_namespace ns = open_namespace(journal, "orders");

    apply(ns, "{\"op\":\"IntAdd\",\"Key\":\"count\",\"Delta\":7}");
    apply(ns, "[{\"op\":\"IntAdd\",\"Key\":\"count\",\"Delta\":9223372036854775800},{\"op\":\"MapSet\",\"Key\":\"m\",\"MapKey\":\"<a>\",\"Value\":[1.50,null]}]");
    CHECK(strcmp(answer(ns, "{\"op\":\"IntGet\",\"Key\":\"count\"}", &result), "9223372036854775807") == 0);
    CHECK(strcmp(answer(ns, "[{\"op\":\"MapGet\",\"Key\":\"m\",\"MapKey\":\"<a>\"},{\"op\":\"IntGet\",\"Key\":\"none\"}]", &result),
                 "[{\"found\":true,\"value\":[1.50,null]},0]") == 0);

    /* A second replica on the same store. */
    opjournal_journal other = open_journal(store, "");
    opjournal_namespace seen = open_namespace(other, "orders");
    CHECK(strcmp(answer(seen, "{\"op\":\"IntGet\",\"Key\":\"count\"}", &result), "9223372036854775807") == 0);
    apply(seen, "{\"op\":\"ListAppend\",\"Key\":\"l\",\"Value\":\"x\"}");
    EXPECT(OPJOURNAL_OK, opjournal_flush(ns, OPJOURNAL_TIMEOUT_DEFAULT, &result), &result);
    CHECK(has(&result, "{}"));
    CHECK(strcmp(answer(ns, "{\"op\":\"ListEntries\",\"Key\":\"l\"}", &result), "[\"x\"]") == 0);

    /* A batch that is refused changes nothing. */
    EXPECT(OPJOURNAL_INVALID,
           opjournal_apply(ns, TEXT("[{\"op\":\"IntSet\",\"Key\":\"count\",\"Value\":1},{\"op\":\"IntSet\",\"Key\":\"count\",\"Value\":1.5}]"), -1, &result),
           &result);
    CHECK(has(&result, "\"code\":\"INVALID\"") && has(&result, "\"outcome\":\"none\"") && has(&result, "\"op\":1"));
    CHECK(strcmp(answer(ns, "{\"op\":\"IntGet\",\"Key\":\"count\"}", &result), "9223372036854775807") == 0);

    EXPECT(OPJOURNAL_OK, opjournal_stats(journal, &result), &result);
    CHECK(has(&result, "{"));

    /* The root namespace is another one; the same name is the same one. */
    opjournal_namespace root = open_namespace(journal, "");
    CHECK(strcmp(answer(root, "{\"op\":\"Names\"}", &result), "[]") == 0);
    opjournal_namespace again = open_namespace(journal, "orders");
    CHECK(again != ns);
    apply(again, "{\"op\":\"IntSet\",\"Key\":\"count\",\"Value\":-1}");
    CHECK(strcmp(answer(ns, "{\"op\":\"IntGet\",\"Key\":\"count\"}", &result), "-1") == 0);

    EXPECT(OPJOURNAL_OK, opjournal_namespace_close(again), NO_RESULT);
    EXPECT(OPJOURNAL_OK, opjournal_namespace_close(ns), NO_RESULT);
    close_journal(journal);
    close_journal(other);

    /* Nobody writes through a read-only journal, and everybody reads. */
    journal = open_journal(store, ",\"read_only\":true");
    ns = open_namespace(journal, "orders");
    if (strncmp(store, "file:", 5) == 0) {
        CHECK(strcmp(answer(ns, "{\"op\":\"IntGet\",\"Key\":\"count\"}", &result), "-1") == 0);
    }
    EXPECT(OPJOURNAL_READ_ONLY, opjournal_apply(ns, TEXT("{\"op\":\"IntSet\",\"Key\":\"count\",\"Value\":2}"), -1, &result), &result);
    close_journal(journal);
    opjournal_buffer_free(&result);
}

int main(void) {
    CHECK(opjournal_abi_version() == OPJOURNAL_ABI_VERSION);
    CHECK(strcmp(opjournal_version(), "0.1.0") == 0);
    CHECK(strcmp(opjournal_status_name(OPJOURNAL_ROLLUP_LOST), "ROLLUP_LOST") == 0);
    CHECK(strcmp(opjournal_status_name(1234), "UNKNOWN") == 0);
    use("memory:smoke");
    const char *directory = directory_store("smoke");
    CHECK(mkdir(directory + strlen("file://"), 0700) == 0);
    use(directory);
    puts("ok abi_smoke");
    return 0;
}
