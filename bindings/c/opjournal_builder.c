#include "opjournal_builder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_text.h"

enum { KIND_ABSENT = 0, KIND_STRING, KIND_INT, KIND_BOOL, KIND_NULL, KIND_JSON, KIND_MISSING };

/* ---- Values -------------------------------------------------------------------------------------------------------- */

static opjournal_value value_of(int32_t kind, const char *text, size_t len, int64_t number) {
    opjournal_value value;
    value.kind = kind;
    value.text = text;
    value.len = len;
    value.number = number;
    return value;
}

opjournal_value opjournal_text(const char *text) {
    return text == NULL ? value_of(KIND_MISSING, NULL, 0, 0) : value_of(KIND_STRING, text, strlen(text), 0);
}

opjournal_value opjournal_string(const char *text, size_t len) {
    return text == NULL && len != 0 ? value_of(KIND_MISSING, NULL, 0, 0) : value_of(KIND_STRING, text, len, 0);
}

opjournal_value opjournal_int(int64_t number) { return value_of(KIND_INT, NULL, 0, number); }

opjournal_value opjournal_bool(int truth) { return value_of(KIND_BOOL, NULL, 0, truth != 0); }

opjournal_value opjournal_null(void) { return value_of(KIND_NULL, NULL, 0, 0); }

opjournal_value opjournal_json(const char *json, size_t len) {
    return json == NULL ? value_of(KIND_MISSING, NULL, 0, 0) : value_of(KIND_JSON, json, len, 0);
}

/* ---- The growing text ---------------------------------------------------------------------------------------------- */

void opjournal_builder_init(opjournal_builder *builder) { memset(builder, 0, sizeof *builder); }

void opjournal_builder_clear(opjournal_builder *builder) {
    opjournal_builder empty;
    memset(&empty, 0, sizeof empty);
    empty.data = builder->data;
    empty.capacity = builder->capacity;
    empty.limit = builder->limit;
    *builder = empty;
}

void opjournal_builder_free(opjournal_builder *builder) {
    free(builder->data);
    memset(builder, 0, sizeof *builder);
}

/* Notes the first error. `argument` may be "" where the trouble is with none in particular. */
static void fail(opjournal_builder *builder, opjournal_build_status status, const char *argument, const char *trouble) {
    if (builder->status != OPJOURNAL_BUILD_OK) return;
    builder->status = status;
    (void)snprintf(builder->message, sizeof builder->message, "item %llu (%.40s): %.40s%s%.70s", (unsigned long long)builder->items,
                   builder->op == NULL ? "object" : builder->op, argument, *argument == '\0' ? "" : " ", trouble);
}

static void append(opjournal_builder *builder, const char *text, size_t len) {
    size_t needed;
    if (builder->status != OPJOURNAL_BUILD_OK || len == 0) return;
    if (len > SIZE_MAX - 1 - builder->len) {
        fail(builder, OPJOURNAL_BUILD_TOO_LARGE, "", "the text does not fit into memory");
        return;
    }
    needed = builder->len + len + 1;
    if (builder->limit != 0 && needed - 1 > builder->limit) {
        fail(builder, OPJOURNAL_BUILD_TOO_LARGE, "", "the text is longer than its limit");
        return;
    }
    if (needed > builder->capacity) {
        size_t capacity = builder->capacity < 256 ? 256 : builder->capacity;
        char *data;
        while (capacity < needed) capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
        data = (char *)realloc(builder->data, capacity);
        if (data == NULL) {
            fail(builder, OPJOURNAL_BUILD_OUT_OF_MEMORY, "", "out of memory");
            return;
        }
        builder->data = data;
        builder->capacity = capacity;
    }
    memcpy(builder->data + builder->len, text, len);
    builder->len += len;
    builder->data[builder->len] = '\0';
}

static void append_text(opjournal_builder *builder, const char *text) { append(builder, text, strlen(text)); }

static void append_int(opjournal_builder *builder, int64_t number) {
    char digits[24];
    (void)snprintf(digits, sizeof digits, "%lld", (long long)number);
    append_text(builder, digits);
}

static void append_string(opjournal_builder *builder, const char *argument, const char *text, size_t len) {
    const char *start = text, *at = text, *end;
    if (text == NULL) start = at = text = "";
    end = text + len;
    append_text(builder, "\"");
    while (at < end && builder->status == OPJOURNAL_BUILD_OK) {
        unsigned char c = (unsigned char)*at;
        size_t sequence = opjournal_text_sequence((const unsigned char *)at, (const unsigned char *)end);
        if (sequence == 0) {
            char trouble[64];
            (void)snprintf(trouble, sizeof trouble, "is not UTF-8 at byte %llu", (unsigned long long)(at - text));
            fail(builder, OPJOURNAL_BUILD_NOT_UTF8, argument, trouble);
            return;
        }
        if (c == '"' || c == '\\' || c < 0x20) {
            char escape[8];
            append(builder, start, (size_t)(at - start));
            switch (c) {
            case '"': append_text(builder, "\\\""); break;
            case '\\': append_text(builder, "\\\\"); break;
            case '\b': append_text(builder, "\\b"); break;
            case '\f': append_text(builder, "\\f"); break;
            case '\n': append_text(builder, "\\n"); break;
            case '\r': append_text(builder, "\\r"); break;
            case '\t': append_text(builder, "\\t"); break;
            default:
                (void)snprintf(escape, sizeof escape, "\\u%04x", (unsigned)c);
                append_text(builder, escape);
            }
            start = at + 1;
        }
        at += sequence;
    }
    if (at > start) append(builder, start, (size_t)(at - start));
    append_text(builder, "\"");
}

static void append_value(opjournal_builder *builder, const char *argument, opjournal_value value) {
    const char *at, *end;
    switch (value.kind) {
    case KIND_STRING: append_string(builder, argument, value.text, value.len); break;
    case KIND_INT: append_int(builder, value.number); break;
    case KIND_BOOL: append_text(builder, value.number ? "true" : "false"); break;
    case KIND_NULL: append_text(builder, "null"); break;
    case KIND_JSON:
        end = value.text + value.len;
        at = opjournal_text_skip_value(opjournal_text_space(value.text, end), end, OPJOURNAL_BUILDER_DEPTH);
        if (at == NULL || opjournal_text_space(at, end) != end) fail(builder, OPJOURNAL_BUILD_NOT_JSON, argument, "is not one well-formed JSON value");
        else append(builder, value.text, value.len);
        break;
    default: fail(builder, OPJOURNAL_BUILD_MISSING, argument, "is missing");
    }
}

/* ---- Items ----------------------------------------------------------------------------------------------------------- */

static void begin(opjournal_builder *builder, const char *op) {
    if (builder->status != OPJOURNAL_BUILD_OK) return;
    if (builder->in_object) {
        fail(builder, OPJOURNAL_BUILD_MISUSE, "", "begun before opjournal_object_end");
        return;
    }
    builder->op = op;
    if (builder->items == 0) {
        append_text(builder, "[{");
    } else {
        /* The bracket that closed the array makes room for the next item. */
        builder->len--;
        append_text(builder, ",{");
    }
    builder->in_object = 1;
    builder->has_member = 0;
    if (op != NULL) {
        append_text(builder, "\"op\":\"");
        append_text(builder, op);
        append_text(builder, "\"");
        builder->has_member = 1;
    }
}

static void member(opjournal_builder *builder, const char *name, opjournal_value value) {
    if (builder->status != OPJOURNAL_BUILD_OK) return;
    if (builder->has_member) append_text(builder, ",");
    builder->has_member = 1;
    append_string(builder, "the name of a member", name, strlen(name));
    append_text(builder, ":");
    append_value(builder, name, value);
}

/* A member that the model knows as a string: nothing else may stand there. */
static void string_member(opjournal_builder *builder, const char *name, opjournal_value value) {
    if (value.kind != KIND_STRING && value.kind != KIND_MISSING && value.kind != KIND_ABSENT)
        fail(builder, OPJOURNAL_BUILD_MISUSE, name, "must be made by opjournal_text or opjournal_string");
    member(builder, name, value);
}

static void end(opjournal_builder *builder) {
    append_text(builder, "}]");
    if (builder->status != OPJOURNAL_BUILD_OK) return;
    builder->in_object = 0;
    builder->op = NULL;
    builder->items++;
}

void opjournal_object_begin(opjournal_builder *builder) { begin(builder, NULL); }

void opjournal_object_member(opjournal_builder *builder, const char *name, opjournal_value value) {
    if (!builder->in_object) fail(builder, OPJOURNAL_BUILD_MISUSE, "", "a member before opjournal_object_begin");
    else if (name == NULL) fail(builder, OPJOURNAL_BUILD_MISSING, "the name of a member", "is missing");
    else member(builder, name, value);
}

void opjournal_object_end(opjournal_builder *builder) {
    if (!builder->in_object) fail(builder, OPJOURNAL_BUILD_MISUSE, "", "opjournal_object_end before opjournal_object_begin");
    else end(builder);
}

opjournal_build_status opjournal_builder_array(opjournal_builder *builder, const char **text, size_t *len) {
    if (builder->in_object) fail(builder, OPJOURNAL_BUILD_MISUSE, "", "opjournal_object_end is missing");
    if (builder->status != OPJOURNAL_BUILD_OK) return builder->status;
    *text = builder->items == 0 ? "[]" : builder->data;
    *len = builder->items == 0 ? 2 : builder->len;
    return OPJOURNAL_BUILD_OK;
}

opjournal_build_status opjournal_builder_object(opjournal_builder *builder, const char **text, size_t *len) {
    if (builder->in_object) fail(builder, OPJOURNAL_BUILD_MISUSE, "", "opjournal_object_end is missing");
    else if (builder->items != 1) fail(builder, OPJOURNAL_BUILD_MISUSE, "", "one item is due, neither none nor more");
    if (builder->status != OPJOURNAL_BUILD_OK) return builder->status;
    *text = builder->data + 1;
    *len = builder->len - 2;
    return OPJOURNAL_BUILD_OK;
}

const char *opjournal_builder_message(const opjournal_builder *builder) { return builder->message; }

/* ---- Ops and queries: fields in the order of the data model ------------------------------------------------------------ */

static void with_key(opjournal_builder *builder, const char *op, opjournal_value key) {
    begin(builder, op);
    string_member(builder, "Key", key);
}

static void item_key(opjournal_builder *builder, const char *op, opjournal_value key) {
    with_key(builder, op, key);
    end(builder);
}

static void item_field(opjournal_builder *builder, const char *op, opjournal_value key, const char *field, opjournal_value value) {
    with_key(builder, op, key);
    member(builder, field, value);
    end(builder);
}

static void item_entry(opjournal_builder *builder, const char *op, opjournal_value key, opjournal_value map_key, const char *field,
                       opjournal_value value) {
    with_key(builder, op, key);
    member(builder, "MapKey", map_key);
    member(builder, field, value);
    end(builder);
}

static void item_page(opjournal_builder *builder, const char *op, opjournal_value key, const opjournal_page *page) {
    with_key(builder, op, key);
    if (page != NULL) {
        if (page->limit != 0) member(builder, "Limit", opjournal_int(page->limit));
        if (page->after.kind != KIND_ABSENT) member(builder, "After", page->after);
        if (page->prefix.kind != KIND_ABSENT) string_member(builder, "Prefix", page->prefix);
    }
    end(builder);
}

void opjournal_op_scalar_set(opjournal_builder *builder, opjournal_value key, opjournal_value value) {
    item_field(builder, "ScalarSet", key, "Value", value);
}

void opjournal_op_scalar_delete(opjournal_builder *builder, opjournal_value key) { item_key(builder, "ScalarDelete", key); }

void opjournal_op_int_set(opjournal_builder *builder, opjournal_value key, int64_t value) {
    item_field(builder, "IntSet", key, "Value", opjournal_int(value));
}

void opjournal_op_int_add(opjournal_builder *builder, opjournal_value key, int64_t delta) {
    item_field(builder, "IntAdd", key, "Delta", opjournal_int(delta));
}

void opjournal_op_int_mul(opjournal_builder *builder, opjournal_value key, int64_t factor) {
    item_field(builder, "IntMul", key, "Factor", opjournal_int(factor));
}

void opjournal_op_int_div(opjournal_builder *builder, opjournal_value key, int64_t divisor) {
    item_field(builder, "IntDiv", key, "Divisor", opjournal_int(divisor));
}

void opjournal_op_set_add(opjournal_builder *builder, opjournal_value key, opjournal_value member_value) {
    item_field(builder, "SetAdd", key, "Member", member_value);
}

void opjournal_op_set_remove(opjournal_builder *builder, opjournal_value key, opjournal_value member_value) {
    item_field(builder, "SetRemove", key, "Member", member_value);
}

void opjournal_op_int_map_set(opjournal_builder *builder, opjournal_value key, opjournal_value map_key, int64_t value) {
    item_entry(builder, "IntMapSet", key, map_key, "Value", opjournal_int(value));
}

void opjournal_op_int_map_add(opjournal_builder *builder, opjournal_value key, opjournal_value map_key, int64_t delta) {
    item_entry(builder, "IntMapAdd", key, map_key, "Delta", opjournal_int(delta));
}

void opjournal_op_int_map_mul(opjournal_builder *builder, opjournal_value key, opjournal_value map_key, int64_t factor) {
    item_entry(builder, "IntMapMul", key, map_key, "Factor", opjournal_int(factor));
}

void opjournal_op_int_map_div(opjournal_builder *builder, opjournal_value key, opjournal_value map_key, int64_t divisor) {
    item_entry(builder, "IntMapDiv", key, map_key, "Divisor", opjournal_int(divisor));
}

void opjournal_op_int_map_delete(opjournal_builder *builder, opjournal_value key, opjournal_value map_key) {
    item_field(builder, "IntMapDelete", key, "MapKey", map_key);
}

void opjournal_op_map_set(opjournal_builder *builder, opjournal_value key, opjournal_value map_key, opjournal_value value) {
    item_entry(builder, "MapSet", key, map_key, "Value", value);
}

void opjournal_op_map_delete(opjournal_builder *builder, opjournal_value key, opjournal_value map_key) {
    item_field(builder, "MapDelete", key, "MapKey", map_key);
}

void opjournal_op_list_append(opjournal_builder *builder, opjournal_value key, opjournal_value value) {
    item_field(builder, "ListAppend", key, "Value", value);
}

void opjournal_query_scalar_get(opjournal_builder *builder, opjournal_value key) { item_key(builder, "ScalarGet", key); }

void opjournal_query_map_get(opjournal_builder *builder, opjournal_value key, opjournal_value map_key) {
    item_field(builder, "MapGet", key, "MapKey", map_key);
}

void opjournal_query_int_get(opjournal_builder *builder, opjournal_value key) { item_key(builder, "IntGet", key); }

void opjournal_query_int_map_get(opjournal_builder *builder, opjournal_value key, opjournal_value map_key) {
    item_field(builder, "IntMapGet", key, "MapKey", map_key);
}

void opjournal_query_set_contains(opjournal_builder *builder, opjournal_value key, opjournal_value member_value) {
    item_field(builder, "SetContains", key, "Member", member_value);
}

void opjournal_query_set_members(opjournal_builder *builder, opjournal_value key, const opjournal_page *page) {
    item_page(builder, "SetMembers", key, page);
}

void opjournal_query_map_keys(opjournal_builder *builder, opjournal_value key, const opjournal_page *page) {
    item_page(builder, "MapKeys", key, page);
}

void opjournal_query_int_map_keys(opjournal_builder *builder, opjournal_value key, const opjournal_page *page) {
    item_page(builder, "IntMapKeys", key, page);
}

void opjournal_query_map_entries(opjournal_builder *builder, opjournal_value key, const opjournal_page *page) {
    item_page(builder, "MapEntries", key, page);
}

void opjournal_query_int_map_entries(opjournal_builder *builder, opjournal_value key, const opjournal_page *page) {
    item_page(builder, "IntMapEntries", key, page);
}

void opjournal_query_list_entries(opjournal_builder *builder, opjournal_value key, const opjournal_page *page) {
    item_page(builder, "ListEntries", key, page);
}

void opjournal_query_list_len(opjournal_builder *builder, opjournal_value key) { item_key(builder, "ListLen", key); }

void opjournal_query_set_len(opjournal_builder *builder, opjournal_value key) { item_key(builder, "SetLen", key); }

void opjournal_query_map_len(opjournal_builder *builder, opjournal_value key) { item_key(builder, "MapLen", key); }

void opjournal_query_int_map_len(opjournal_builder *builder, opjournal_value key) { item_key(builder, "IntMapLen", key); }

static void item_bare(opjournal_builder *builder, const char *op) {
    begin(builder, op);
    end(builder);
}

void opjournal_query_names(opjournal_builder *builder) { item_bare(builder, "Names"); }

void opjournal_query_state(opjournal_builder *builder) { item_bare(builder, "State"); }

void opjournal_query_digest(opjournal_builder *builder) { item_bare(builder, "Digest"); }

void opjournal_query_age(opjournal_builder *builder) { item_bare(builder, "Age"); }

void opjournal_query_outcome(opjournal_builder *builder, opjournal_value segment) {
    begin(builder, "Outcome");
    string_member(builder, "Segment", segment);
    end(builder);
}
