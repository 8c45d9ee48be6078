// tour: a counter, a map, a set, a list, a scalar and an atomic batch, written, read back and digested.
//
//     tour file:///tmp/journal         writes, then reads
//     tour file:///tmp/journal read    reads only
//
// The same program stands beside this one in other languages; all print the same.
#include "opjournal.hpp"

#include <cstdlib>
#include <iostream>
#include <vector>

using namespace std::string_literals;
using opjournal::value;

namespace {

// The journal is loaded at run time, from the path in OPJOURNAL_LIBRARY or wherever the system finds it, or is the one that this is linked with.
opjournal::Library library() {
#ifdef OPJOURNAL_LINKED
    return opjournal::Library::linked();
#else
    return opjournal::Library::load(std::getenv("OPJOURNAL_LIBRARY"));
#endif
}

void write(opjournal::Namespace &ns) {
    // One write that blocks this thread until it is durable.
    opjournal::Builder greeting;
    opjournal_op_scalar_set(greeting, value("greeting"), value("Grüße, 世界 👋"));
    ns.apply(greeting);

    // Several on their way at once, each a batch of its own. They share requests to the store.
    opjournal::Builder total, tea, coffee, seen, nul;
    opjournal_op_int_add(total, value("total"), (std::int64_t{1} << 53) + 1);
    opjournal_op_map_set(tea, value("prices"), value("tea"), opjournal_int(180));
    opjournal_op_map_set(coffee, value("prices"), value("café"), opjournal_int(250));
    opjournal_op_set_add(seen, value("seen"), value("tea"));
    opjournal_op_set_add(nul, value("seen"), value("nul\0inside"s));
    std::vector<std::future<opjournal::Answer>> writes;
    for (opjournal::Builder *batch : {&total, &tea, &coffee, &seen, &nul}) writes.push_back(ns.submit(*batch));
    for (auto &write : writes) write.get();

    // One batch over several names: every replica sees all of it or nothing.
    opjournal::Builder order;
    opjournal_op_int_add(order, value("stock"), -1);
    opjournal_op_int_map_add(order, value("sold"), value("tea"), 1);
    opjournal::Builder entry;
    opjournal_object_begin(entry);
    opjournal_object_member(entry, "what", value("tea"));
    opjournal_object_member(entry, "quantity", opjournal_int(1));
    opjournal_object_end(entry);
    const std::string json = entry.object();
    opjournal_op_list_append(order, value("orders"), opjournal_json(json.data(), json.size()));
    ns.apply(order);

    // A batch with a mistake in its second op is refused whole. The builder's own function for IntAdd would not make this one.
    opjournal::Builder mistake;
    opjournal_op_int_add(mistake, value("stock"), 1);
    opjournal_object_begin(mistake);
    opjournal_object_member(mistake, "op", value("IntAdd"));
    opjournal_object_member(mistake, "Key", value("stock"));
    opjournal_object_member(mistake, "Delta", value("one"));
    opjournal_object_end(mistake);
    try {
        ns.apply(mistake);
    } catch (const opjournal::Error &error) {
        std::cout << "refused: " << error.code() << " at op " << error.details()["op"].integer() << ", field " << error.details()["field"].string()
                  << "; outcome " << error.outcome() << ", retryable " << (error.retryable() ? "yes" : "no") << "\n"
                  << "message: " << error.what() << "\n";
    }
}

void read(opjournal::Namespace &ns) {
    ns.flush();
    // Several queries in one are answered from one state.
    opjournal::Builder queries;
    opjournal_query_scalar_get(queries, value("greeting"));
    opjournal_query_int_get(queries, value("total"));
    opjournal_query_int_get(queries, value("stock"));
    opjournal_query_map_entries(queries, value("prices"), nullptr);
    opjournal_query_set_len(queries, value("seen"));
    opjournal_query_set_contains(queries, value("seen"), value("nul\0inside"s));
    opjournal_query_list_entries(queries, value("orders"), nullptr);
    opjournal_query_digest(queries);
    std::vector<opjournal::Answer> answers;
    ns.query(queries).for_each([&](opjournal::Answer answer) { answers.push_back(std::move(answer)); });

    std::cout << "greeting: " << (answers.at(0).has("value") ? answers[0]["value"].string() : "none") << "\n"
              << "total: " << answers.at(1).integer() << "\n"
              << "stock: " << answers.at(2).integer() << "\n";
    const char *before = "prices: ";
    answers.at(3).for_each([&](const opjournal::Answer &entry) {
        std::vector<opjournal::Answer> pair;
        entry.for_each([&](opjournal::Answer part) { pair.push_back(std::move(part)); });
        std::cout << std::exchange(before, ", ") << pair.at(0).string() << " " << pair.at(1).integer();
    });
    std::cout << "\nseen: " << answers.at(4).integer() << (answers.at(5).boolean() ? " with NUL" : " without NUL") << "\n";
    before = "orders: ";
    answers.at(6).for_each([&](const opjournal::Answer &order) {
        std::cout << std::exchange(before, ", ") << order["quantity"].integer() << " " << order["what"].string();
    });
    std::cout << "\ndigest: " << answers.at(7)["sha256"].string() << "\n";
}

} // namespace

int main(int argc, char **argv) {
    const bool reading = argc == 3 && std::string_view(argv[2]) == "read";
    if (argc != 2 && !reading) {
        std::cerr << "usage: tour STORE-URL [read]\n";
        return 2;
    }
    try {
        opjournal::Builder config;
        opjournal_object_begin(config);
        opjournal_object_member(config, "store", value(argv[1]));
        opjournal_object_member(config, "read_only", opjournal_bool(reading));
        opjournal_object_end(config);
        opjournal::Journal journal(library(), config.object());
        {
            opjournal::Namespace ns = journal.open_namespace("tour");
            if (!reading) write(ns);
            read(ns);
        }
        journal.close();
    } catch (const opjournal::Error &error) {
        std::cerr << "tour: " << error.code() << ": " << error.what() << "\n";
        return 1;
    } catch (const std::exception &error) {
        std::cerr << "tour: " << error.what() << "\n";
        return 1;
    }
    return 0;
}
