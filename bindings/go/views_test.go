package opjournal_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"opjournal.dev/opjournal"
)

// hostile are texts that break an encoder which forgets one of JSON's or HTML's special characters.
var hostile = []string{
	"", " ", `"`, `\`, `\\"`, "<&>", "a&b", "</script>", "\u2028", "\u2029", "\x00\x01\x1f\x7f", "\b\f\n\r\t", "/", "é", "日本語", "😀",
	"e\u0301", `{"op":"ScalarDelete"}`, `","Key":"other`, "null", "0", strings.Repeat("x", 5000),
}

func TestHostileTextsKeepTheirIdentity(t *testing.T) {
	onEachStore(t, func(t *testing.T, store string) {
		namespace, ctx := newNamespace(t, store), t.Context()
		var batch opjournal.Batch
		for i, text := range hostile {
			batch.Add(
				opjournal.NewScalar[string](namespace, "scalar "+text).SetOp(text),
				opjournal.NewMap[string, string](namespace, "map").SetOp(text, text),
				opjournal.NewIntMap[string](namespace, "ints").AddOp(text, int64(i)),
				opjournal.NewSet[string](namespace, "set").AddOp(text),
				opjournal.NewList[string](namespace, "list").AppendOp(text),
			)
		}
		if _, err := batch.Apply(ctx, namespace); err != nil {
			t.Fatal(err)
		}
		entries := opjournal.NewMap[string, string](namespace, "map")
		for i, text := range hostile {
			if got, found, err := opjournal.NewScalar[string](namespace, "scalar "+text).Get(); err != nil || !found || got != text {
				t.Errorf("scalar %q: got %q, %v, %v", text, got, found, err)
			}
			if got, found, err := entries.Get(text); err != nil || !found || got != text {
				t.Errorf("map %q: got %q, %v, %v", text, got, found, err)
			}
			if got := value[int64](t)(opjournal.NewIntMap[string](namespace, "ints").Get(text)); got != int64(i) {
				t.Errorf("int map %q: got %d, want %d", text, got, i)
			}
			if !value[bool](t)(opjournal.NewSet[string](namespace, "set").Contains(text)) {
				t.Errorf("set: %q is missing", text)
			}
		}
		if got := collect(t, opjournal.NewList[string](namespace, "list").Values()); !slices.Equal(got, hostile) {
			t.Errorf("list: got %q", got)
		}
		sorted := slices.Sorted(slices.Values(hostile))
		if got := slices.Sorted(slices.Values(collect(t, entries.Keys()))); !slices.Equal(got, sorted) {
			t.Errorf("keys: got %q", got)
		}
		if got := slices.Sorted(slices.Values(collect(t, opjournal.NewSet[string](namespace, "set").Members()))); !slices.Equal(got, sorted) {
			t.Errorf("members: got %q", got)
		}
		if got := value[int](t)(entries.Len()); got != len(hostile) {
			t.Errorf("len: got %d, want %d", got, len(hostile))
		}
	})
}

func TestTextThatIsNotUTF8IsRefused(t *testing.T) {
	namespace := newNamespace(t, memoryStore())
	type named string
	failed(t, opjournal.NewSet[string](namespace, "set").Add(t.Context(), "\xff"), opjournal.ErrInvalid, opjournal.OutcomeNone)
	failed(t, opjournal.NewSet[named](namespace, "set").Add(t.Context(), "\xff"), opjournal.ErrInvalid, opjournal.OutcomeNone)
}

func TestIntegersAreNeverRounded(t *testing.T) {
	onEachStore(t, func(t *testing.T, store string) {
		namespace, ctx := newNamespace(t, store), t.Context()
		integer, ints := opjournal.NewInt(namespace, "int"), opjournal.NewIntMap[int64](namespace, "ints")
		scalar := opjournal.NewScalar[any](namespace, "scalar")
		for _, n := range []int64{0, 1, -1, 1<<53 + 1, -(1<<53 + 1), math.MaxInt64, math.MinInt64} {
			_, err := namespace.Apply(ctx, integer.SetOp(n), ints.SetOp(n, n), scalar.SetOp(map[string]int64{"n": n}))
			ok(t, err)
			if got := value[int64](t)(integer.Get()); got != n {
				t.Errorf("Int: got %d, want %d", got, n)
			}
			if got := value[int64](t)(ints.Get(n)); got != n {
				t.Errorf("IntMap: got %d, want %d", got, n)
			}
			got, _, err := scalar.Get()
			ok(t, err)
			if want := (map[string]any{"n": json.Number(fmt.Sprint(n))}); !reflect.DeepEqual(got, want) {
				t.Errorf("Scalar[any]: got %#v, want %#v", got, want)
			}
		}
		ok(t, integer.Set(ctx, math.MaxInt64))
		ok(t, integer.Add(ctx, 1))
		if got := value[int64](t)(integer.Get()); got != math.MinInt64 {
			t.Errorf("the sum wraps: got %d", got)
		}
		// Larger than any Go integer: the literal stays.
		const huge = "123456789012345678901234567890"
		ok(t, scalar.Set(ctx, json.Number(huge)))
		if got, _, err := scalar.Get(); err != nil || got != json.Number(huge) {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

func TestArithmetic(t *testing.T) {
	namespace, ctx := newNamespace(t, memoryStore()), t.Context()
	integer := opjournal.NewInt(namespace, "int")
	ok(t, integer.Add(ctx, 7))
	ok(t, integer.Mul(ctx, -3))
	ok(t, integer.Div(ctx, 2))
	ok(t, integer.Div(ctx, 0))
	if got := value[int64](t)(integer.Get()); got != -10 {
		t.Errorf("got %d, want -10", got)
	}
	ok(t, integer.Delete(ctx))
	if got := value[int64](t)(integer.Get()); got != 0 {
		t.Errorf("got %d, want 0", got)
	}

	ints := opjournal.NewIntMap[string](namespace, "ints")
	ok(t, ints.Add(ctx, "a", 7))
	ok(t, ints.Mul(ctx, "a", -3))
	ok(t, ints.Div(ctx, "a", 2))
	ok(t, ints.Set(ctx, "b", 5))
	if got := collect(t, ints.Entries()); !slices.Equal(got, []opjournal.Entry[string, int64]{{"a", -10}, {"b", 5}}) {
		t.Errorf("got %v", got)
	}
	ok(t, ints.Delete(ctx, "a"))
	if got := collect(t, ints.Keys()); !slices.Equal(got, []string{"b"}) || value[int](t)(ints.Len()) != 1 {
		t.Errorf("got %v", got)
	}
}

func TestRemovals(t *testing.T) {
	namespace, ctx := newNamespace(t, memoryStore()), t.Context()
	set := opjournal.NewSet[string](namespace, "set")
	ok(t, set.Add(ctx, "a"))
	ok(t, set.Add(ctx, "b"))
	ok(t, set.Remove(ctx, "a"))
	if value[bool](t)(set.Contains("a")) || !value[bool](t)(set.Contains("b")) || value[int](t)(set.Len()) != 1 {
		t.Error("Remove removed something else")
	}
	entries := opjournal.NewMap[string, bool](namespace, "map")
	ok(t, entries.Set(ctx, "a", true))
	ok(t, entries.Set(ctx, "b", false))
	ok(t, entries.Delete(ctx, "a"))
	if _, found, err := entries.Get("a"); found || err != nil {
		t.Errorf("got %v, %v", found, err)
	}
	if v, found, err := entries.Get("b"); v || !found || err != nil {
		t.Errorf("got %v, %v, %v", v, found, err)
	}
	scalar := opjournal.NewScalar[string](namespace, "scalar")
	if _, found, err := scalar.Get(); found || err != nil {
		t.Errorf("got %v, %v", found, err)
	}
	ok(t, scalar.Set(ctx, "x"))
	ok(t, scalar.Delete(ctx))
	if _, found, err := scalar.Get(); found || err != nil {
		t.Errorf("got %v, %v", found, err)
	}
}

func TestKeysAndValuesOfAnyType(t *testing.T) {
	namespace, ctx := newNamespace(t, memoryStore()), t.Context()
	type place struct {
		X, Y int
	}
	type user struct {
		Name  string         `json:"name"`
		Tags  []string       `json:"tags,omitempty"`
		Extra map[string]any `json:"extra,omitempty"`
	}
	users := opjournal.NewMap[place, user](namespace, "users")
	at, who := place{1, -2}, user{"<Ann>", []string{"a&b"}, map[string]any{"n": json.Number("9007199254740993")}}
	ok(t, users.Set(ctx, at, who))
	if got, found, err := users.Get(at); err != nil || !found || !reflect.DeepEqual(got, who) {
		t.Errorf("got %+v, %v, %v", got, found, err)
	}
	if got := collect(t, users.Entries()); len(got) != 1 || got[0].Key != at || !reflect.DeepEqual(got[0].Value, who) {
		t.Errorf("got %+v", got)
	}

	type id string
	named := opjournal.NewMap[id, *int](namespace, "named")
	ok(t, named.Set(ctx, "x", nil))
	if got, found, err := named.Get("x"); got != nil || !found || err != nil {
		t.Errorf("null is a value: got %v, %v, %v", got, found, err)
	}

	if err := opjournal.NewSet[float64](namespace, "floats").Add(ctx, 1.5); !errors.Is(err, opjournal.ErrInvalid) {
		t.Errorf("a key that is no integer: got %v", err)
	}
}

func TestAValueOfAnotherTypeIsAnError(t *testing.T) {
	namespace, ctx := newNamespace(t, memoryStore()), t.Context()
	ok(t, opjournal.NewScalar[string](namespace, "name").Set(ctx, "text"))
	if _, _, err := opjournal.NewScalar[int](namespace, "name").Get(); err == nil {
		t.Error("read a string as an int")
	}
	if _, err := namespace.Apply(ctx, opjournal.NewList[any](namespace, "list").AppendOp(make(chan int))); !errors.Is(err, opjournal.ErrInvalid) {
		t.Errorf("a channel as a value: got %v", err)
	}
}

func TestPaging(t *testing.T) {
	namespace, ctx := newNamespace(t, memoryStore()), t.Context()
	const count = 25
	entries := opjournal.NewMap[string, int](namespace, "map")
	list := opjournal.NewList[int](namespace, "list")
	set := opjournal.NewSet[int](namespace, "set")
	var batch opjournal.Batch
	var keys []string
	for i := range count {
		key := fmt.Sprintf("%c/%02d", 'a'+i%2, i)
		keys = append(keys, key)
		batch.Add(entries.SetOp(key, i), list.AppendOp(i), set.AddOp(i))
	}
	slices.Sort(keys)
	if _, err := batch.Apply(ctx, namespace); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 2, 7, 24, 25, 26, 1000} {
		page := opjournal.PageSize(size)
		if got := collect(t, entries.Keys(page)); !slices.Equal(got, keys) {
			t.Errorf("pages of %d: got %v", size, got)
		}
		for i, got := range collect(t, list.Values(page)) {
			if got != i {
				t.Errorf("pages of %d: item %d is %d", size, i, got)
			}
		}
		if got := len(collect(t, set.Members(page))); got != count {
			t.Errorf("pages of %d: %d members", size, got)
		}
		bs := slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return key[0] != 'b' })
		if got := collect(t, entries.Keys(page, opjournal.Prefix("b/"))); !slices.Equal(got, bs) {
			t.Errorf("pages of %d with a prefix: got %v", size, got)
		}
		if got := collect(t, entries.Keys(page, opjournal.After(keys[9]))); !slices.Equal(got, keys[10:]) {
			t.Errorf("pages of %d after a key: got %v", size, got)
		}
		if got := collect(t, list.Values(page, opjournal.After(9))); len(got) != count-10 || got[0] != 10 {
			t.Errorf("pages of %d after an index: got %v", size, got)
		}
	}
	if got := collect(t, entries.Entries(opjournal.AtOnce())); len(got) != count || got[0].Key != keys[0] {
		t.Errorf("at once: got %v", got)
	}
	if got := collect(t, entries.Keys(opjournal.AtOnce(), opjournal.Prefix("a/"), opjournal.After("a/10"))); !slices.Equal(got, keys[6:13]) {
		t.Errorf("at once, a part: got %v", got)
	}
	for key, err := range entries.Keys(opjournal.PageSize(3)) {
		ok(t, err)
		if key == keys[4] {
			break
		}
	}
	names := collect(t, namespace.Names(opjournal.PageSize(1)))
	want := []opjournal.NameInfo{
		{Name: "list", Shape: opjournal.ShapeList, Len: count},
		{Name: "map", Shape: opjournal.ShapeMap, Len: count},
		{Name: "set", Shape: opjournal.ShapeMap, Len: count},
	}
	if !slices.Equal(names, want) {
		t.Errorf("names: got %+v", names)
	}
}

func TestMapGetAllocatesAtMostOnce(t *testing.T) {
	namespace, ctx := newNamespace(t, memoryStore()), t.Context()
	strings, ints := opjournal.NewMap[string, string](namespace, "strings"), opjournal.NewMap[int64, int64](namespace, "ints")
	counters := opjournal.NewIntMap[string](namespace, "counters")
	_, err := namespace.Apply(ctx, strings.SetOp("k", "value"), ints.SetOp(7, 8), counters.SetOp("k", 9))
	ok(t, err)
	for _, read := range []struct {
		name  string
		limit float64
		get   func() error
	}{
		{"Map[string,string]", 1, func() error { _, _, err := strings.Get("k"); return err }},
		{"Map[int64,int64]", 0, func() error { _, _, err := ints.Get(7); return err }},
		{"IntMap[string]", 0, func() error { _, err := counters.Get("k"); return err }},
	} {
		got := testing.AllocsPerRun(1000, func() { ok(t, read.get()) })
		// The race detector empties pools at random.
		if !raceEnabled && got > read.limit {
			t.Errorf("%s: %v allocations, want at most %v", read.name, got, read.limit)
		}
	}
}

func BenchmarkMapGet(b *testing.B) {
	namespace := newNamespace(b, memoryStore())
	entries := opjournal.NewMap[string, int64](namespace, "map")
	ok(b, entries.Set(b.Context(), "key", 1))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := entries.Get("key"); err != nil {
			b.Fatal(err)
		}
	}
}
