// What the tour does not show of the wrapper. Prints `ok NAME` or `not ok NAME` for each test.
//
//     opjournal_test        with the library that OPJOURNAL_LIBRARY names, or that the system finds
#include "opjournal.hpp"

#include <cstdlib>
#include <functional>
#include <iostream>
#include <vector>

using namespace std::string_literals;
using opjournal::value;

namespace {

int failures = 0;

void require(bool holds, const char *what) {
    if (!holds) throw std::runtime_error(what);
}

void test(const char *name, const std::function<void()> &body) {
    try {
        body();
        std::cout << "ok " << name << std::endl;
    } catch (const std::exception &error) {
        std::cout << "not ok " << name << ": " << error.what() << std::endl;
        failures++;
    }
}

opjournal::Journal open(const opjournal::Library &library, std::int64_t commit_interval_ms = 0) {
    opjournal::Builder config;
    opjournal_object_begin(config);
    opjournal_object_member(config, "store", value("memory:test"));
    opjournal_object_member(config, "commit_interval_ms", opjournal_int(commit_interval_ms));
    opjournal_object_end(config);
    return opjournal::Journal(library, config.object());
}

std::int64_t number(const opjournal::Namespace &ns) {
    opjournal::Builder query;
    opjournal_query_int_get(query, value("n"));
    std::int64_t out = 0;
    ns.query(query).for_each([&](const opjournal::Answer &answer) { out = answer.integer(); });
    return out;
}

// The code and the outcome of what a call throws.
template <typename Call> std::pair<std::string, std::string> thrown(Call call) {
    try {
        call();
    } catch (const opjournal::Error &error) {
        return {error.code(), error.outcome()};
    }
    return {};
}

} // namespace

int main() {
    const auto library = opjournal::Library::load(std::getenv("OPJOURNAL_LIBRARY"));
    opjournal::Builder add;
    opjournal_op_int_add(add, value("n"), 1);

    test("many threads submit at once", [&] {
        opjournal::Journal journal = open(library);
        opjournal::Namespace ns = journal.open_namespace("threads");
        std::vector<std::thread> threads;
        for (int i = 0; i < 8; i++)
            threads.emplace_back([&] {
                opjournal::Builder mine;
                opjournal_op_int_add(mine, value("n"), 1);
                std::vector<std::future<opjournal::Answer>> writes;
                for (int j = 0; j < 50; j++) writes.push_back(ns.submit(mine));
                for (auto &write : writes) write.get();
            });
        for (auto &thread : threads) thread.join();
        require(number(ns) == 400, "400 of 400 count");
    });
    test("what is owed comes at close", [&] {
        // The second segment may not begin before an hour is over, so these certainly wait until the close gives them up.
        opjournal::Journal journal = open(library, 3600 * 1000);
        opjournal::Namespace ns = journal.open_namespace("owed");
        ns.apply(add);
        std::vector<std::future<opjournal::Answer>> writes;
        for (int i = 0; i < 100; i++) writes.push_back(ns.submit(add));
        journal.close(OPJOURNAL_TIMEOUT_NONE);
        for (auto &write : writes) require(thrown([&] { write.get(); }) == std::make_pair("CLOSED"s, "none"s), "each is told to be closed and not written");
    });
    test("futures may be dropped", [&] {
        opjournal::Journal journal = open(library);
        opjournal::Namespace ns = journal.open_namespace("dropped");
        for (int i = 0; i < 100; i++) (void)ns.submit(add);
        ns.apply(add);
        require(number(ns) == 101, "what was dropped is written");
    });
    test("what is refused takes no completion", [&] {
        opjournal::Journal journal = open(library);
        opjournal::Namespace ns = journal.open_namespace("refused");
        opjournal::Builder wrong;
        opjournal_object_begin(wrong);
        opjournal_object_member(wrong, "op", value("IntAd"));
        opjournal_object_end(wrong);
        require(thrown([&] { (void)ns.submit(wrong); }) == std::make_pair("INVALID"s, "none"s), "it is refused at once");
        journal.close();
    });
    test("integers keep all their digits", [&] {
        opjournal::Journal journal = open(library);
        opjournal::Namespace ns = journal.open_namespace("integers");
        for (const std::int64_t wanted : {INT64_MAX, INT64_MIN, (std::int64_t{1} << 53) + 1}) {
            opjournal::Builder set;
            opjournal_op_int_set(set, value("n"), wanted);
            ns.apply(set);
            require(number(ns) == wanted, "what is read is what was written");
        }
    });
    test("use after close is an error", [&] {
        opjournal::Journal first = open(library);
        opjournal::Journal journal = std::move(first);
        opjournal::Namespace ns = journal.open_namespace("closed");
        journal.close();
        journal.close();
        require(thrown([&] { (void)number(ns); }).first == "CLOSED", "a query");
        require(thrown([&] { ns.apply(add); }).first == "CLOSED", "a write");
        require(thrown([&] { (void)ns.submit(add); }).first == "CLOSED", "a write through the queue");
    });
    return failures == 0 ? 0 : 1;
}
