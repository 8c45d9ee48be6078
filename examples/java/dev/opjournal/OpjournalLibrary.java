package dev.opjournal;

import com.sun.jna.IntegerType;
import com.sun.jna.Library;
import com.sun.jna.Native;
import com.sun.jna.Pointer;
import com.sun.jna.Structure;
import com.sun.jna.Structure.FieldOrder;
import com.sun.jna.ptr.IntByReference;
import com.sun.jna.ptr.LongByReference;

/**
 * The C ABI as JNA sees it: the functions, structs and numbers of include/opjournal.h under their own names, those that log left out.
 * `make test-examples` compares each line with the header.
 */
public interface OpjournalLibrary extends Library {
    int OPJOURNAL_ABI_VERSION = 1;
    int OPJOURNAL_OK = 0;
    long OPJOURNAL_TIMEOUT_NEVER = -1;
    long OPJOURNAL_TIMEOUT_DEFAULT = Long.MIN_VALUE;

    int opjournal_abi_version();
    String opjournal_version();
    String opjournal_status_name(int status);
    void opjournal_buffer_free(Buffer buffer);

    int opjournal_open(byte[] config, Size config_len, LongByReference out, Buffer result);
    int opjournal_close(long journal, long timeout_ms, Buffer result);
    int opjournal_stats(long journal, Buffer result);
    int opjournal_close_async(long journal, long queue, long tag, long timeout_ms, Buffer result);

    int opjournal_namespace_open(long journal, byte[] name, Size name_len, long timeout_ms, LongByReference out, Buffer result);
    int opjournal_namespace_close(long ns);
    int opjournal_apply(long ns, byte[] ops, Size ops_len, long timeout_ms, Buffer result);
    int opjournal_query(long ns, byte[] query, Size query_len, Buffer result);
    int opjournal_flush(long ns, long timeout_ms, Buffer result);
    int opjournal_quarantine(long ns, byte[] key, Size key_len, long timeout_ms, Buffer result);
    int opjournal_namespace_open_async(long journal, long queue, long tag, byte[] name, Size name_len, long timeout_ms, Buffer result);
    int opjournal_apply_async(long ns, long queue, long tag, byte[] ops, Size ops_len, long timeout_ms, Buffer result);
    int opjournal_flush_async(long ns, long queue, long tag, long timeout_ms, Buffer result);

    int opjournal_queue_open(int capacity, LongByReference out, Buffer result);
    int opjournal_queue_fd(long queue, IntByReference out);
    int opjournal_cancel(long queue, long tag);
    int opjournal_queue_poll(long queue, Completion out, Size max, Size.ByReference count);
    int opjournal_queue_wait(long queue, Completion out, Size max, long timeout_ms, Size.ByReference count);
    int opjournal_queue_close(long queue);

    /** C's size_t. */
    class Size extends IntegerType {
        private static final long serialVersionUID = 1;

        public Size() {
            this(0);
        }

        public Size(long value) {
            super(Native.SIZE_T_SIZE, value, true);
        }

        /** Where one is written. */
        public static class ByReference extends com.sun.jna.ptr.ByReference {
            public ByReference() {
                super(Native.SIZE_T_SIZE);
            }

            public long getValue() {
                return Native.SIZE_T_SIZE == 8 ? getPointer().getLong(0) : getPointer().getInt(0);
            }
        }
    }

    /** A text that the library writes and frees. */
    @FieldOrder({"data", "len", "capacity"})
    class Buffer extends Structure {
        public Pointer data;
        public Size len;
        public Size capacity;
    }

    /** A call that has ended. */
    @FieldOrder({"tag", "status", "kind", "result", "reserved"})
    class Completion extends Structure {
        public long tag;
        public int status;
        public int kind;
        public Buffer result;
        public long[] reserved = new long[2];
    }
}
