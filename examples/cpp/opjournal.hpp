// opjournal from C++17: handles that close themselves, failures that are exceptions, futures for what is on its way.
//
// Header only, over bindings/c: opjournal_builder.h writes the texts, opjournal_result.h reads the answers, opjournal_dl.h loads the library.
// Everything may be called from any thread, but a Builder belongs to one.
#ifndef OPJOURNAL_HPP
#define OPJOURNAL_HPP

#include <opjournal_builder.h>
#include <opjournal_dl.h>
#include <opjournal_result.h>

#include <cstdint>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace opjournal {

constexpr std::int64_t default_timeout = OPJOURNAL_TIMEOUT_DEFAULT;

inline opjournal_value value(std::string_view text) { return opjournal_string(text.data(), text.size()); }

// A JSON text that the library answered, read member by member. Deep values want a JSON library.
class Answer {
public:
    explicit Answer(std::string json) : json_(std::move(json)) {}
    const std::string &json() const { return json_; }
    std::int64_t integer() const {
        std::int64_t out = 0;
        expect(opjournal_result_int(json_.data(), json_.size(), &out));
        return out;
    }
    bool boolean() const {
        int out = 0;
        expect(opjournal_result_bool(json_.data(), json_.size(), &out));
        return out != 0;
    }
    std::string string() const {
        std::string out(json_.size() + 1, '\0'); // unescaping makes no text longer
        std::size_t length = 0;
        expect(opjournal_result_string(json_.data(), json_.size(), out.data(), out.size(), &length));
        out.resize(length);
        return out;
    }
    bool has(const char *name) const {
        opjournal_slice slice{};
        return opjournal_result_member(json_.data(), json_.size(), name, &slice) == OPJOURNAL_RESULT_OK;
    }
    Answer operator[](const char *name) const {
        opjournal_slice slice{};
        expect(opjournal_result_member(json_.data(), json_.size(), name, &slice));
        return Answer(std::string(slice.data, slice.len));
    }
    template <typename Each> void for_each(Each each) const {
        opjournal_slice slice{};
        for (std::size_t cursor = 0; opjournal_result_item(json_.data(), json_.size(), &cursor, &slice) == OPJOURNAL_RESULT_OK;)
            each(Answer(std::string(slice.data, slice.len)));
    }

private:
    void expect(opjournal_result_status status) const {
        if (status != OPJOURNAL_RESULT_OK) throw std::runtime_error("an answer of another shape: " + json_);
    }
    std::string json_;
};

// A call that failed. outcome() is "none" (nothing was written, nor ever will be) or "unknown" (settle it before you repeat it).
class Error : public std::runtime_error {
public:
    Error(std::string code, const Answer &answer)
        : std::runtime_error(answer.has("message") ? answer["message"].string() : "the call failed"), code_(std::move(code)), details_(answer) {}
    const std::string &code() const { return code_; }
    std::string outcome() const { return details_.has("outcome") ? details_["outcome"].string() : "none"; }
    bool retryable() const { return details_.has("retryable") && details_["retryable"].boolean(); }
    const Answer &details() const { return details_; } // whatever else names the place: "op", "field", "segment", "object", ...

private:
    std::string code_;
    Answer details_;
};

// The library's functions. Copies share it; it stays loaded as long as anything needs it.
class Library {
public:
    // Loads it at run time. Without a path: wherever the system's loader finds it. Throws std::runtime_error with the reason.
    static Library load(const char *path = nullptr) {
        auto functions = std::shared_ptr<opjournal_dl>(new opjournal_dl{}, [](opjournal_dl *it) { opjournal_dl_close(it), delete it; });
        char message[512];
        if (opjournal_dl_open(path, functions.get(), message, sizeof message) != OPJOURNAL_DL_OK) throw std::runtime_error(message);
        return Library(std::move(functions));
    }
#ifdef OPJOURNAL_LINKED
    // The one that the program is linked with, shared or static.
    static Library linked() {
        auto functions = std::make_shared<opjournal_dl>();
#define OPJOURNAL_HPP_TAKE(result, name, parameters) functions->name = opjournal_##name;
        OPJOURNAL_DL_FUNCTIONS(OPJOURNAL_HPP_TAKE)
#undef OPJOURNAL_HPP_TAKE
        return Library(std::move(functions));
    }
#endif
    const opjournal_dl *operator->() const { return functions_.get(); }

    // Calls a function whose last parameter is `result`. Gives what it answers, or throws.
    template <typename Function, typename... Arguments> Answer call(Function function, Arguments... arguments) const {
        opjournal_buffer buffer{};
        const opjournal_status status = function(arguments..., &buffer);
        return take(status, buffer);
    }
    // Takes the text out of a buffer and gives the buffer back. Throws unless the status is OK.
    Answer take(opjournal_status status, opjournal_buffer &buffer) const {
        struct Free {
            const Library &library;
            opjournal_buffer &buffer;
            ~Free() { library->buffer_free(&buffer); }
        } free{*this, buffer};
        Answer answer(std::string(buffer.data == nullptr ? "" : buffer.data, buffer.len));
        if (status != OPJOURNAL_OK) throw Error((*this)->status_name(status), answer);
        return answer;
    }

private:
    explicit Library(std::shared_ptr<const opjournal_dl> functions) : functions_(std::move(functions)) {}
    std::shared_ptr<const opjournal_dl> functions_;
};

// Ops or queries on their way into a text: opjournal_op_int_add(builder, ...), which escape and check.
class Builder {
public:
    Builder() { opjournal_builder_init(&builder_); }
    ~Builder() { opjournal_builder_free(&builder_); }
    Builder(const Builder &) = delete;
    Builder &operator=(const Builder &) = delete;
    operator opjournal_builder *() { return &builder_; }
    std::string object() { return text(opjournal_builder_object); }
    std::string array() { return text(opjournal_builder_array); }

private:
    std::string text(opjournal_build_status (*finish)(opjournal_builder *, const char **, std::size_t *)) {
        const char *data = nullptr;
        std::size_t size = 0;
        if (finish(&builder_, &data, &size) != OPJOURNAL_BUILD_OK) throw std::invalid_argument(opjournal_builder_message(&builder_));
        return std::string(data, size);
    }
    opjournal_builder builder_;
};

// A queue and the thread that reads it. Accepted means exactly one completion, so no promise is forgotten.
class Completions {
public:
    explicit Completions(Library library) : library_(std::move(library)) {
        library_.call(library_->queue_open, slots, &queue_);
        reader_ = std::thread([this] { read(); });
    }
    // After the journal is closed, which ends every call; what is not read yet, the reader is about to read.
    ~Completions() {
        while (library_->queue_close(queue_) == OPJOURNAL_BUSY) std::this_thread::yield();
        reader_.join();
    }
    Completions(const Completions &) = delete;
    Completions &operator=(const Completions &) = delete;

    template <typename Function, typename... Arguments>
    std::future<Answer> submit(Function function, std::uint64_t handle, Arguments... arguments) {
        std::promise<Answer> promise;
        std::future<Answer> future = promise.get_future();
        const std::lock_guard<std::mutex> lock(mutex_); // held over the call, which never waits: the completion finds its promise
        library_.call(function, handle, queue_, ++tag_, arguments...);
        promises_.emplace(tag_, std::move(promise));
        return future;
    }

private:
    static constexpr std::uint32_t slots = 1024;
    static constexpr std::size_t at_once = 64;

    void read() {
        opjournal_completion completions[at_once];
        std::size_t count = 0;
        while (library_->queue_wait(queue_, completions, at_once, OPJOURNAL_TIMEOUT_NEVER, &count) == OPJOURNAL_OK)
            for (std::size_t i = 0; i < count; i++) complete(completions[i]);
    }
    void complete(opjournal_completion &completion) {
        std::unique_lock<std::mutex> lock(mutex_);
        auto node = promises_.extract(completion.tag); // none for a kind that this file does not know; its buffer is freed all the same
        lock.unlock();
        try {
            Answer answer = library_.take(completion.status, completion.result);
            if (node) node.mapped().set_value(std::move(answer));
        } catch (...) {
            if (node) node.mapped().set_exception(std::current_exception());
        }
    }

    Library library_;
    opjournal_queue queue_ = 0;
    std::mutex mutex_;
    std::uint64_t tag_ = 0; // the first is 1: 0 is the tag of log records
    std::map<std::uint64_t, std::promise<Answer>> promises_;
    std::thread reader_;
};

class Namespace;

// An open journal: a replica of its own. Its destructor closes it, as close() does, and has nobody to tell of a failure.
class Journal {
public:
    // config: JSON, as Builder::object makes it.
    Journal(Library library, std::string_view config) : library_(std::move(library)), completions_(std::make_unique<Completions>(library_)) {
        library_.call(library_->open, config.data(), config.size(), &handle_);
    }
    ~Journal() {
        if (completions_ != nullptr && handle_ != 0) (void)library_->close(handle_, default_timeout, nullptr);
    }
    Journal(Journal &&) = default;
    Journal &operator=(Journal &&) = delete;

    inline Namespace open_namespace(std::string_view name, std::int64_t timeout_ms = default_timeout);

    // Waits for the writes that are on their way. It is closed in any case; throws where the outcome of some stays unknown.
    void close(std::int64_t timeout_ms = default_timeout) {
        if (handle_ != 0) library_.call(library_->close, std::exchange(handle_, 0), timeout_ms);
    }

private:
    Library library_;
    std::unique_ptr<Completions> completions_; // destroyed after the body of the destructor, so after the close
    opjournal_journal handle_ = 0;
};

// A handle on one namespace. Not to outlive its journal.
class Namespace {
public:
    Namespace(Library library, Completions &completions, opjournal_namespace handle)
        : library_(std::move(library)), completions_(&completions), handle_(handle) {}
    ~Namespace() {
        if (handle_ != 0) (void)library_->namespace_close(handle_);
    }
    Namespace(Namespace &&other) noexcept
        : library_(other.library_), completions_(other.completions_), handle_(std::exchange(other.handle_, 0)) {}
    Namespace &operator=(Namespace &&) = delete;

    // Writes the ops as one atomic batch and waits until it is durable. Gives the segment that holds it.
    std::string apply(Builder &ops, std::int64_t timeout_ms = default_timeout) {
        const std::string text = ops.array();
        return library_.call(library_->apply, handle_, text.data(), text.size(), timeout_ms)["segment"].string();
    }
    // The same without waiting: the future holds {"segment":...} or throws. Throws itself where the batch is refused.
    std::future<Answer> submit(Builder &ops, std::int64_t timeout_ms = default_timeout) {
        const std::string text = ops.array();
        return completions_->submit(library_->apply_async, handle_, text.data(), text.size(), timeout_ms);
    }
    // What the state in memory answers; all queries of the builder from one state. Never waits.
    Answer query(Builder &queries) const {
        const std::string text = queries.array();
        return library_.call(library_->query, handle_, text.data(), text.size());
    }
    // Waits until all that was acknowledged anywhere before this call is visible here.
    void flush(std::int64_t timeout_ms = default_timeout) { library_.call(library_->flush, handle_, timeout_ms); }

private:
    Library library_;
    Completions *completions_;
    opjournal_namespace handle_;
};

inline Namespace Journal::open_namespace(std::string_view name, std::int64_t timeout_ms) {
    opjournal_namespace handle = 0;
    library_.call(library_->namespace_open, handle_, name.data(), name.size(), timeout_ms, &handle);
    return Namespace(library_, *completions_, handle);
}

} // namespace opjournal

#endif
