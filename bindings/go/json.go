package opjournal

import (
	"bytes"
	"encoding"
	"encoding/json"
	"reflect"
	"strconv"
	"sync"
)

// appendString appends s as a JSON string. Bytes that are not UTF-8 stay as they are: the library refuses them, which is
// better than two different keys becoming one by repair.
func appendString(text []byte, s string) []byte {
	const hex = "0123456789abcdef"
	text = append(text, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		text = append(text, s[start:i]...)
		if c < 0x20 {
			text = append(text, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		} else {
			text = append(text, '\\', c)
		}
		start = i + 1
	}
	text = append(text, s[start:]...)
	return append(text, '"')
}

// appendJSON appends v as encoding/json spells it. The types that most keys and values have take a way without reflection
// and without allocation: only their pointer is looked at, so v stays on the stack.
func appendJSON[T any](text []byte, v T) ([]byte, error) {
	switch p := any(&v).(type) {
	case *string:
		return appendString(text, *p), nil
	case *int:
		return strconv.AppendInt(text, int64(*p), 10), nil
	case *int64:
		return strconv.AppendInt(text, *p, 10), nil
	case *int32:
		return strconv.AppendInt(text, int64(*p), 10), nil
	case *uint64:
		return strconv.AppendUint(text, *p, 10), nil
	case *uint32:
		return strconv.AppendUint(text, uint64(*p), 10), nil
	case *bool:
		return strconv.AppendBool(text, *p), nil
	}
	return appendAny(text, v)
}

func appendAny(text []byte, v any) ([]byte, error) {
	switch v.(type) {
	case json.Marshaler, encoding.TextMarshaler:
	default:
		// Named types, with the same treatment as above for bytes that are not UTF-8.
		if value := reflect.ValueOf(v); value.Kind() == reflect.String && value.Type() != reflect.TypeFor[json.Number]() {
			return appendString(text, value.String()), nil
		}
	}
	encoded, err := json.Marshal(v)
	return append(text, encoded...), err
}

// decodeJSON decodes one JSON value. Integers are read as integers, never by way of a float64; numbers that are decoded
// into an any are json.Number. Nothing of text is kept.
func decodeJSON[T any](text []byte) (T, error) {
	var v T
	done := false
	switch p := any(&v).(type) {
	case *string:
		if last := len(text) - 1; last > 0 && text[0] == '"' && text[last] == '"' && !special(text[1:last]) {
			*p, done = string(text[1:last]), true
		}
	case *int64:
		done = decodeInt(text, 64, p)
	case *int:
		var wide int64
		done = decodeInt(text, strconv.IntSize, &wide)
		*p = int(wide)
	case *bool:
		*p = string(text) == "true"
		done = *p || string(text) == "false"
	}
	if done {
		return v, nil
	}
	return decodeAny[T](text)
}

// decodeAny is apart from decodeJSON so that only here the value has to live on the heap.
func decodeAny[T any](text []byte) (T, error) {
	v := new(T)
	err := unmarshal(text, v)
	return *v, err
}

func decodeInt(text []byte, bits int, out *int64) bool {
	value, err := strconv.ParseInt(string(text), 10, bits)
	*out = value
	// What ParseInt takes beyond JSON ("+1", "01"), the library never writes.
	return err == nil
}

// special reports whether a string's JSON needs more than copying.
func special(text []byte) bool {
	return bytes.IndexByte(text, '\\') >= 0 || bytes.IndexByte(text, '"') >= 0
}

// numberDecoder is a json.Decoder that is fed one value after the other: making one for each value would cost far more than
// the decoding.
type numberDecoder struct {
	source  bytes.Reader
	decoder *json.Decoder
}

var numberDecoders = sync.Pool{New: func() any {
	d := &numberDecoder{}
	d.decoder = json.NewDecoder(&d.source)
	d.decoder.UseNumber()
	return d
}}

// unmarshal is json.Unmarshal with UseNumber.
func unmarshal(text []byte, out any) error {
	// A decoder keeps a buffer as large as the largest value it has seen.
	const kept = 64 << 10
	d := numberDecoders.Get().(*numberDecoder)
	d.source.Reset(text)
	err := d.decoder.Decode(out)
	d.source.Reset(nil)
	// After an error the rest of the text is still in the decoder.
	if err == nil && len(text) <= kept {
		numberDecoders.Put(d)
	}
	return err
}
