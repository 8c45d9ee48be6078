package dev.opjournal;

import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;

/** A call that failed. */
public final class OpjournalException extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final String code;
    private final transient JsonObject answer;

    OpjournalException(String code, JsonObject answer) {
        super(answer.has("message") ? answer.get("message").getAsString() : "the call failed");
        this.code = code;
        this.answer = answer;
    }

    /** The status by name, such as INVALID. */
    public String code() {
        return code;
    }

    /** "none": nothing was written, nor ever will be. "unknown": settle it before you repeat it. */
    public String outcome() {
        return member("outcome", new JsonPrimitive("none")).getAsString();
    }

    /** Whether the same call may succeed later although nobody changes anything. */
    public boolean retryable() {
        return member("retryable", new JsonPrimitive(false)).getAsBoolean();
    }

    /** Whatever names the place: op, field, segment, object, and others. */
    public JsonObject details() {
        return answer;
    }

    private JsonPrimitive member(String name, JsonPrimitive otherwise) {
        return answer.has(name) ? answer.getAsJsonPrimitive(name) : otherwise;
    }
}
