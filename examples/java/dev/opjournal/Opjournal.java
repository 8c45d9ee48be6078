package dev.opjournal;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.sun.jna.Native;
import com.sun.jna.Platform;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.stream.Collectors;

/** The shared library, loaded: where journals are opened. Any thread may use it, and everything that comes from it. */
public final class Opjournal {
    private static final Gson GSON = new GsonBuilder().serializeNulls().create();

    final OpjournalLibrary c;

    private Opjournal(OpjournalLibrary c) {
        this.c = c;
    }

    /** Loads the library from where OPJOURNAL_LIBRARY says, or else from where the system's loader finds it. */
    public static Opjournal load() {
        String path = System.getenv("OPJOURNAL_LIBRARY");
        return load(path != null ? path : Platform.isMac() ? "libopjournal.0.dylib" : "libopjournal.so.0");
    }

    /** Loads the library from a path. Throws UnsatisfiedLinkError where it is missing or older than this file. */
    public static Opjournal load(String path) {
        OpjournalLibrary c;
        int has;
        try {
            c = Native.load(path, OpjournalLibrary.class);
            has = c.opjournal_abi_version();
        } catch (UnsatisfiedLinkError error) {
            // JNA tells every place where it looked; the first says what is wrong.
            String reason = error.getMessage().lines().limit(2).collect(Collectors.joining(" "));
            throw new UnsatisfiedLinkError("the opjournal library cannot be loaded: " + reason + "; OPJOURNAL_LIBRARY may name its place");
        }
        int needs = OpjournalLibrary.OPJOURNAL_ABI_VERSION;
        if (Integer.compareUnsigned(has, needs) < 0) {
            throw new UnsatisfiedLinkError(
                    path + " has ABI version " + Integer.toUnsignedString(has) + ", this program needs at least " + needs);
        }
        return new Opjournal(c);
    }

    /** Opens a journal: a replica of its own. The configuration is anything that Gson writes as an object, such as a Map. */
    public Journal open(Object config) {
        return new Journal(this, encode(config));
    }

    /** A call of the ABI whose last parameter is `result`. */
    interface Call {
        int into(OpjournalLibrary.Buffer result);
    }

    /** Gives what a call answers, or throws. */
    JsonElement call(Call call) {
        OpjournalLibrary.Buffer buffer = new OpjournalLibrary.Buffer();
        int status = call.into(buffer);
        return take(status, buffer);
    }

    /** Takes the text out of a buffer and gives the buffer back. Throws unless the status is OK. */
    JsonElement take(int status, OpjournalLibrary.Buffer buffer) {
        JsonElement answer = new JsonObject();
        try {
            if (buffer.len.longValue() > 0) {
                byte[] text = buffer.data.getByteArray(0, buffer.len.intValue());
                answer = JsonParser.parseString(new String(text, StandardCharsets.UTF_8));
            }
        } finally {
            c.opjournal_buffer_free(buffer);
        }
        check(status, answer);
        return answer;
    }

    void check(int status, JsonElement answer) {
        if (status != OpjournalLibrary.OPJOURNAL_OK) {
            throw new OpjournalException(c.opjournal_status_name(status), answer.getAsJsonObject());
        }
    }

    /** JSON in UTF-8. What is no text, such as half of a surrogate pair, is refused: repaired, two keys might become one. */
    static byte[] encode(Object value) {
        return utf8(GSON.toJson(value));
    }

    static byte[] utf8(String text) {
        try {
            ByteBuffer encoded = StandardCharsets.UTF_8.newEncoder().encode(CharBuffer.wrap(text));
            byte[] bytes = new byte[encoded.remaining()];
            encoded.get(bytes);
            return bytes;
        } catch (CharacterCodingException error) {
            throw new IllegalArgumentException("not a well-formed text", error);
        }
    }

    /** A timeout as the library counts it. Null: as long as the header says for each call. */
    static long milliseconds(Duration timeout) {
        return timeout == null ? OpjournalLibrary.OPJOURNAL_TIMEOUT_DEFAULT : Math.max(0, timeout.toMillis());
    }

    static OpjournalLibrary.Size size(byte[] text) {
        return new OpjournalLibrary.Size(text.length);
    }
}
