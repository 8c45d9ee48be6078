// dlopen: a reader that loads the library at run time, in C++11 with nothing left to be forgotten: every handle is closed
// and every buffer freed by a destructor. It waits until the writers of the demo have reached a total, and prints what it sees.
//
//     dlopen -store file:///tmp/journal -ns demo -wait 300 [-lib /opt/opjournal/lib/libopjournal.so.0]
#include <opjournal_builder.h>
#include <opjournal_dl.h>
#include <opjournal_result.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>

namespace {

// The library, loaded for as long as this lives. It must outlive everything below.
class Library {
public:
    explicit Library(const char *path) {
        char message[512];
        if (opjournal_dl_open(path, &functions_, message, sizeof message) != OPJOURNAL_DL_OK) throw std::runtime_error(message);
    }
    ~Library() { opjournal_dl_close(&functions_); }
    Library(const Library &) = delete;
    Library &operator=(const Library &) = delete;
    const opjournal_dl *operator->() const { return &functions_; }

private:
    opjournal_dl functions_;
};

// A buffer that the library fills and its destructor gives back.
class Text {
public:
    explicit Text(const Library &library) : library_(library), buffer_() {}
    ~Text() { library_->buffer_free(&buffer_); }
    Text(const Text &) = delete;
    Text &operator=(const Text &) = delete;
    opjournal_buffer *out() { return &buffer_; }
    const char *data() const { return buffer_.data; }
    size_t size() const { return buffer_.len; }

    std::string member(const char *name) const {
        size_t needed = 0;
        if (opjournal_result_member_string(data(), size(), name, nullptr, 0, &needed) != OPJOURNAL_RESULT_TOO_SMALL) return std::string();
        std::string text(needed + 1, '\0');
        (void)opjournal_result_member_string(data(), size(), name, &text[0], text.size(), nullptr);
        text.resize(needed);
        return text;
    }

private:
    const Library &library_;
    opjournal_buffer buffer_;
};

// What a call returned that was not OPJOURNAL_OK.
class Failure : public std::runtime_error {
public:
    Failure(const Library &library, const char *what, opjournal_status status, const Text &result)
        : std::runtime_error(std::string(what) + ": " + library->status_name(status) + ": " + result.member("message")) {}
};

class Builder {
public:
    Builder() { opjournal_builder_init(&builder_); }
    ~Builder() { opjournal_builder_free(&builder_); }
    Builder(const Builder &) = delete;
    Builder &operator=(const Builder &) = delete;
    opjournal_builder *get() { return &builder_; }

    std::string object() { return text(opjournal_builder_object); }
    std::string array() { return text(opjournal_builder_array); }

private:
    std::string text(opjournal_build_status (*finish)(opjournal_builder *, const char **, size_t *)) {
        const char *data = nullptr;
        size_t len = 0;
        if (finish(&builder_, &data, &len) != OPJOURNAL_BUILD_OK) throw std::runtime_error(opjournal_builder_message(&builder_));
        return std::string(data, len);
    }
    opjournal_builder builder_;
};

class Journal {
public:
    Journal(const Library &library, const std::string &config) : library_(library), handle_(0) {
        Text result(library_);
        opjournal_status status = library_->open(config.data(), config.size(), &handle_, result.out());
        if (status != OPJOURNAL_OK) throw Failure(library_, "open", status, result);
    }
    ~Journal() { (void)library_->close(handle_, OPJOURNAL_TIMEOUT_DEFAULT, nullptr); }
    Journal(const Journal &) = delete;
    Journal &operator=(const Journal &) = delete;
    opjournal_journal handle() const { return handle_; }

private:
    const Library &library_;
    opjournal_journal handle_;
};

class Namespace {
public:
    Namespace(const Library &library, const Journal &journal, const std::string &name) : library_(library), handle_(0) {
        Text result(library_);
        opjournal_status status = library_->namespace_open(journal.handle(), name.data(), name.size(), OPJOURNAL_TIMEOUT_DEFAULT, &handle_,
                                                           result.out());
        if (status != OPJOURNAL_OK) throw Failure(library_, "namespace_open", status, result);
    }
    ~Namespace() { (void)library_->namespace_close(handle_); }
    Namespace(const Namespace &) = delete;
    Namespace &operator=(const Namespace &) = delete;

    void flush() {
        Text result(library_);
        opjournal_status status = library_->flush(handle_, OPJOURNAL_TIMEOUT_DEFAULT, result.out());
        if (status != OPJOURNAL_OK) throw Failure(library_, "flush", status, result);
    }

    void query(const std::string &text, Text &result) const {
        opjournal_status status = library_->query(handle_, text.data(), text.size(), result.out());
        if (status != OPJOURNAL_OK) throw Failure(library_, "query", status, result);
    }

private:
    const Library &library_;
    opjournal_namespace handle_;
};

struct View {
    std::int64_t total;
    std::string digest;
};

// The total and the digest, of one moment: an array of queries is answered from one state.
View look(const Library &library, const Namespace &ns) {
    Builder queries;
    opjournal_query_int_get(queries.get(), opjournal_text("total"));
    opjournal_query_digest(queries.get());
    Text result(library);
    ns.query(queries.array(), result);

    View view = {0, std::string()};
    opjournal_slice total, digest;
    char hex[80];
    size_t cursor = 0;
    if (opjournal_result_item(result.data(), result.size(), &cursor, &total) != OPJOURNAL_RESULT_OK ||
        opjournal_result_item(result.data(), result.size(), &cursor, &digest) != OPJOURNAL_RESULT_OK ||
        opjournal_result_int(total.data, total.len, &view.total) != OPJOURNAL_RESULT_OK ||
        opjournal_result_member_string(digest.data, digest.len, "sha256", hex, sizeof hex, nullptr) != OPJOURNAL_RESULT_OK)
        throw std::runtime_error("an answer of another shape: " + std::string(result.data(), result.size()));
    view.digest = hex;
    return view;
}

std::string config_of(std::map<std::string, std::string> &flags) {
    if (!flags["-config"].empty()) return flags["-config"];
    const char *environment = std::getenv("OPJOURNAL_CONFIG");
    if (flags["-store"].empty()) return environment == nullptr ? std::string() : std::string(environment);
    Builder config;
    opjournal_object_begin(config.get());
    opjournal_object_member(config.get(), "store", opjournal_string(flags["-store"].data(), flags["-store"].size()));
    opjournal_object_member(config.get(), "read_only", opjournal_bool(1));
    opjournal_object_end(config.get());
    return config.object();
}

int run(std::map<std::string, std::string> &flags) {
    const std::int64_t wanted = flags["-wait"].empty() ? 0 : std::stoll(flags["-wait"]);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(120);
    const Library library(flags["-lib"].empty() ? nullptr : flags["-lib"].c_str());
    const Journal journal(library, config_of(flags));
    Namespace ns(library, journal, flags["-ns"].empty() ? "demo" : flags["-ns"]);
    for (;;) {
        ns.flush();
        const View view = look(library, ns);
        if (wanted <= 0 || view.total == wanted) {
            std::cout << "digest " << view.digest << " total " << view.total << std::endl;
            return 0;
        }
        if (view.total > wanted || std::chrono::steady_clock::now() > deadline)
            throw std::runtime_error("the total is " + std::to_string(view.total) + ", not " + std::to_string(wanted));
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
}

}  // namespace

int main(int argc, char **argv) {
    std::map<std::string, std::string> flags;
    for (int i = 1; i + 1 < argc; i += 2) flags[argv[i]] = argv[i + 1];
    if (argc % 2 == 0) {
        std::cerr << "usage: dlopen [-config JSON | -store URL] [-ns NAME] [-wait TOTAL] [-lib PATH]\n";
        return 2;
    }
    try {
        return run(flags);
    } catch (const std::exception &error) {
        std::cerr << "reader: " << error.what() << "\n";
        return 1;
    }
}
