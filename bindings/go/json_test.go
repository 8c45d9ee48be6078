package opjournal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"opjournal.dev/opjournal/internal/native"
)

func FuzzAppendString(f *testing.F) {
	for _, text := range []string{"", `"`, `\`, "\x00\x1f\x7f", "<&>\u2028", "é😀", "a\nb", strings.Repeat("x", 300)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		encoded := appendString([]byte("kept"), text)
		if !strings.HasPrefix(string(encoded), "kept") {
			t.Fatalf("overwrote what was there: %q", encoded)
		}
		encoded = encoded[len("kept"):]
		if !utf8.ValidString(text) {
			// Left for the library to refuse.
			if utf8.Valid(encoded) {
				t.Fatalf("repaired %q to %q", text, encoded)
			}
			return
		}
		var back string
		if err := json.Unmarshal(encoded, &back); err != nil || back != text {
			t.Fatalf("%q became %q, which is %q, %v", text, encoded, back, err)
		}
	})
}

type namedString string

type marshaled string

func (marshaled) MarshalText() ([]byte, error) { return []byte("by itself"), nil }

func TestAppendJSON(t *testing.T) {
	check := func(got []byte, err error, want string) {
		t.Helper()
		if err != nil || string(got) != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
	got, err := appendJSON(nil, `a"b`)
	check(got, err, `"a\"b"`)
	got, err = appendJSON(nil, namedString("<\xff>"))
	check(got, err, "\"<\xff>\"")
	got, err = appendJSON(nil, marshaled("x"))
	check(got, err, `"by itself"`)
	got, err = appendJSON(nil, int64(math.MinInt64))
	check(got, err, `-9223372036854775808`)
	got, err = appendJSON(nil, uint64(math.MaxUint64))
	check(got, err, `18446744073709551615`)
	got, err = appendJSON(nil, int32(-7))
	check(got, err, `-7`)
	got, err = appendJSON(nil, uint8(7))
	check(got, err, `7`)
	got, err = appendJSON(nil, true)
	check(got, err, `true`)
	got, err = appendJSON(nil, json.Number("1.50"))
	check(got, err, `1.50`)
	got, err = appendJSON[any](nil, nil)
	check(got, err, `null`)
	got, err = appendJSON(nil, json.RawMessage(`{"a":1}`))
	check(got, err, `{"a":1}`)
	got, err = appendJSON(nil, [2]int{1, 2})
	check(got, err, `[1,2]`)
	if _, err := appendJSON(nil, func() {}); err == nil {
		t.Error("encoded a function")
	}
}

func TestDecodeJSON(t *testing.T) {
	// After errors too, the decoders in the pool go on working.
	for range 3 {
		if _, err := decodeJSON[map[string]any]([]byte(`{"a":`)); err == nil {
			t.Error("decoded half a value")
		}
		if _, err := decodeJSON[int8]([]byte(`128`)); err == nil {
			t.Error("128 became an int8")
		}
		if _, err := decodeJSON[int64]([]byte(`9223372036854775808`)); err == nil {
			t.Error("2^63 became an int64")
		}
		if _, err := decodeJSON[bool]([]byte(`1`)); err == nil {
			t.Error("1 became a bool")
		}
		if got, err := decodeJSON[any]([]byte(`[9007199254740993,"a"]`)); err != nil ||
			!reflect.DeepEqual(got, []any{json.Number("9007199254740993"), "a"}) {
			t.Errorf("got %#v, %v", got, err)
		}
		if got, err := decodeJSON[any]([]byte(`12`)); err != nil || got != json.Number("12") {
			t.Errorf("got %#v, %v", got, err)
		}
	}
	if got, err := decodeJSON[string]([]byte(`"a\u003cb\"\\"`)); err != nil || got != `a<b"\` {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := decodeJSON[string]([]byte(`"plain é"`)); err != nil || got != "plain é" {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := decodeJSON[int]([]byte(`-5`)); err != nil || got != -5 {
		t.Errorf("got %d, %v", got, err)
	}
	if got, err := decodeJSON[bool]([]byte(`true`)); err != nil || !got {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := decodeJSON[bool]([]byte(`false`)); err != nil || got {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestReadFound(t *testing.T) {
	for _, answer := range []string{`{"found":true,"value":7}`, `{"age":1,"found":true,"value":7,"zone":{}}`, `{"found":true,"value":7,"zone":{}}`} {
		if got, err := readFound[int64]([]byte(answer)); err != nil || !got.ok || got.value != 7 {
			t.Errorf("%s: got %+v, %v", answer, got, err)
		}
	}
	for _, answer := range []string{`{"found":false}`, `{"found":false,"zone":{}}`} {
		if got, err := readFound[int64]([]byte(answer)); err != nil || got.ok {
			t.Errorf("%s: got %+v, %v", answer, got, err)
		}
	}
	if _, err := readFound[int64]([]byte(`{"found":true,"value":"7"}`)); err == nil {
		t.Error("a string became an int64")
	}
	if _, err := readFound[int64]([]byte(`[]`)); !errors.Is(err, ErrInternal) {
		t.Errorf("got %v", err)
	}
}

func TestSegmentOf(t *testing.T) {
	for _, answer := range []string{`{"segment":"segment-1.json"}`, `{"segment":"segment-1.json","more":"x"}`, `{"a":1,"segment":"segment-1.json"}`} {
		if got, err := segmentOf([]byte(answer)); err != nil || got != "segment-1.json" {
			t.Errorf("%s: got %q, %v", answer, got, err)
		}
	}
}

func TestFailure(t *testing.T) {
	answer := []byte(`{"code":"TIMED_OUT","message":"the time is over","outcome":"unknown","retryable":false,"segment":"segment-1.json","size":9007199254740993}`)
	err := failure(nil, native.TimedOut, answer)
	want := &Error{
		Code: ErrTimedOut, Message: "the time is over", Outcome: OutcomeUnknown, Segment: "segment-1.json",
		Details: map[string]any{"size": json.Number("9007199254740993")},
	}
	if !reflect.DeepEqual(err, want) {
		t.Errorf("got %+v, want %+v", err, want)
	}
	for _, target := range []error{ErrTimedOut, ErrOutcomeUnknown, context.DeadlineExceeded} {
		if !errors.Is(err, target) {
			t.Errorf("is no %v", target)
		}
	}
	for _, target := range []error{ErrCancelled, ErrBusy, context.Canceled} {
		if errors.Is(err, target) {
			t.Errorf("is %v", target)
		}
	}
	// Without an answer, or with one that is damaged, a failure stays a failure.
	for _, answer := range []string{"", "nonsense", "null", "[]"} {
		if err := failure(nil, native.Closed, []byte(answer)); !errors.Is(err, ErrClosed) || errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("%q: got %v", answer, err)
		}
	}
}

func TestConfigText(t *testing.T) {
	check := func(config Config, want string) {
		t.Helper()
		got, err := config.text()
		if err != nil || string(got) != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
	check(Config{Store: "memory:x"}, `{"store":"memory:x"}`)
	check(Config{Store: "memory:x", Compaction: CompactionConfig{MaxAge: -1}}, `{"store":"memory:x","compaction":{"max_age_ms":0}}`)
	check(Config{JSON: json.RawMessage(`{"store":"memory:y"}`)}, `{"store":"memory:y"}`)
	check(Config{
		Store: "s3://b/r", SyncInterval: 1500 * time.Microsecond, CommitInterval: time.Nanosecond, ReadOnly: true, AllowDegraded: true,
		S3: S3Config{
			Region: "r", Endpoint: "e", ForcePathStyle: true, AccessKeyID: "a", SecretAccessKey: "s", SessionToken: "t", Profile: "p",
			ExpectedBucketOwner: "o", SSE: "aws:kms", KMSKeyID: "k", CABundle: "c",
		},
		Compaction: CompactionConfig{SegmentThreshold: 3, AgeThreshold: 6 * time.Second, MaxAge: time.Hour},
		Limits:     LimitsConfig{BatchBytes: 1, SegmentBytes: 2, WaitingBytes: 3, StateBytes: 4, Depth: 5, ObjectBytes: 6},
	}, `{"store":"s3://b/r","sync_interval_ms":2,"commit_interval_ms":1,"read_only":true,"allow_degraded":true,"region":"r",`+
		`"endpoint":"e","force_path_style":true,"access_key_id":"a","secret_access_key":"s","session_token":"t","profile":"p",`+
		`"expected_bucket_owner":"o","sse":"aws:kms","kms_key_id":"k","ca_bundle":"c",`+
		`"compaction":{"segment_threshold":3,"age_threshold_ms":6000,"max_age_ms":3600000},`+
		`"limits":{"batch_bytes":1,"segment_bytes":2,"waiting_bytes":3,"state_bytes":4,"depth":5,"object_bytes":6}}`)
}

func TestSecretsAreNotPrinted(t *testing.T) {
	const secret = "hush"
	config := Config{S3: S3Config{SecretAccessKey: secret, SessionToken: secret}}
	var log strings.Builder
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	logger.Info("config", "config", config, "secret", config.S3.SecretAccessKey)
	encoded, err := json.Marshal(config.S3)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		fmt.Sprintf("%v %+v %#v", config, config, config), fmt.Sprintf("%s %q %x", config.S3.SessionToken, config.S3.SessionToken, config.S3.SessionToken), log.String(), string(encoded),
	} {
		if strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", secret)) {
			t.Errorf("printed: %s", text)
		}
	}
}

func TestParseRecord(t *testing.T) {
	record, err := parseRecord([]byte(`{"level":"warn","time":"2026-01-02T03:04:05.678901Z","message":"text","target":"opjournal::journal","count":9007199254740993}`))
	if err != nil {
		t.Fatal(err)
	}
	if record.Level != slog.LevelWarn || record.Message != "text" || !record.Time.Equal(time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)) {
		t.Errorf("got %+v", record)
	}
	var got []string
	record.Attrs(func(a slog.Attr) bool { got = append(got, a.String()); return true })
	if want := []string{"count=9007199254740993", "target=opjournal::journal"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if record, err := parseRecord([]byte(`{"level":"trace"}`)); err != nil || record.Level != LevelTrace {
		t.Errorf("got %+v, %v", record, err)
	}
	if _, err := parseRecord([]byte(`nonsense`)); err == nil {
		t.Error("parsed nonsense")
	}
}
