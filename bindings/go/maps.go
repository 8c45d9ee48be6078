package opjournal

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
)

// Entry is an entry of a map.
type Entry[K comparable, V any] struct {
	Key   K
	Value V
}

// decodeEntry decodes [key,value].
func decodeEntry[K comparable, V any](text []byte) (Entry[K, V], error) {
	var entry Entry[K, V]
	var pair [2]json.RawMessage
	if err := json.Unmarshal(text, &pair); err != nil {
		return entry, err
	}
	var err error
	if entry.Key, err = decodeJSON[K](pair[0]); err != nil {
		return entry, fmt.Errorf("key: %w", err)
	}
	if entry.Value, err = decodeJSON[V](pair[1]); err != nil {
		return entry, fmt.Errorf("value of %s: %w", pair[0], err)
	}
	return entry, nil
}

// Set is a view of a set. Members are compared by their JSON.
type Set[V comparable] struct{ view }

// NewSet makes a view of the set called name. Nothing is read or written.
func NewSet[V comparable](namespace *Namespace, name string) Set[V] {
	return Set[V]{view{namespace, name}}
}

// Contains reports whether member is in the set.
func (s Set[V]) Contains(member V) (bool, error) {
	return ask(s.view, "SetContains", "Member", member, decodeJSON[bool])
}

// Add puts member into the set.
func (s Set[V]) Add(ctx context.Context, member V) error { return s.apply(ctx, s.AddOp(member)) }

// AddOp is the op that Add applies.
func (s Set[V]) AddOp(member V) Op { return valueOp(s.view, "SetAdd", "Member", member) }

// Remove takes member out of the set, if it is there.
func (s Set[V]) Remove(ctx context.Context, member V) error { return s.apply(ctx, s.RemoveOp(member)) }

// RemoveOp is the op that Remove applies.
func (s Set[V]) RemoveOp(member V) Op { return valueOp(s.view, "SetRemove", "Member", member) }

// Len is the number of members.
func (s Set[V]) Len() (int, error) { return s.length("SetLen") }

// Members iterates over the members, sorted by their JSON.
func (s Set[V]) Members(options ...RangeOption) iter.Seq2[V, error] {
	return items(s.namespace, "SetMembers", s.name, options, decodeJSON[V])
}

// Map is a view of a map.
type Map[K comparable, V any] struct{ view }

// NewMap makes a view of the map called name. Nothing is read or written.
func NewMap[K comparable, V any](namespace *Namespace, name string) Map[K, V] {
	return Map[K, V]{view{namespace, name}}
}

// Get returns the value under key; false: there is none.
func (m Map[K, V]) Get(key K) (V, bool, error) {
	result, err := ask(m.view, "MapGet", "MapKey", key, readFound[V])
	return result.value, result.ok, err
}

// Set puts value under key.
func (m Map[K, V]) Set(ctx context.Context, key K, value V) error {
	return m.apply(ctx, m.SetOp(key, value))
}

// SetOp is the op that Set applies.
func (m Map[K, V]) SetOp(key K, value V) Op {
	text, err := appendMember(m.begin(nil, "MapSet"), "MapKey", key)
	if err == nil {
		text, err = appendMember(text, "Value", value)
	}
	return Op{text: append(text, '}'), namespace: m.namespace, err: err}
}

// Delete removes the entry under key, if there is one.
func (m Map[K, V]) Delete(ctx context.Context, key K) error { return m.apply(ctx, m.DeleteOp(key)) }

// DeleteOp is the op that Delete applies.
func (m Map[K, V]) DeleteOp(key K) Op { return valueOp(m.view, "MapDelete", "MapKey", key) }

// Len is the number of entries.
func (m Map[K, V]) Len() (int, error) { return m.length("MapLen") }

// Keys iterates over the keys, sorted by their JSON.
func (m Map[K, V]) Keys(options ...RangeOption) iter.Seq2[K, error] {
	return items(m.namespace, "MapKeys", m.name, options, decodeJSON[K])
}

// Entries iterates over the entries, sorted by the JSON of their keys.
func (m Map[K, V]) Entries(options ...RangeOption) iter.Seq2[Entry[K, V], error] {
	return items(m.namespace, "MapEntries", m.name, options, decodeEntry[K, V])
}

// IntMap is a view of a map of integers. Changes by Add, Mul and Div from any number of replicas all count; they wrap
// around like Go's int64.
type IntMap[K comparable] struct{ view }

// NewIntMap makes a view of the map of integers called name. Nothing is read or written.
func NewIntMap[K comparable](namespace *Namespace, name string) IntMap[K] {
	return IntMap[K]{view{namespace, name}}
}

// entryOp makes an op on one entry, with an integer.
func (m IntMap[K]) entryOp(op string, key K, field string, value int64) Op {
	text, err := appendMember(m.begin(nil, op), "MapKey", key)
	return Op{text: appendInt(text, field, value), namespace: m.namespace, err: err}
}

// Get returns the value under key, 0 where there is none.
func (m IntMap[K]) Get(key K) (int64, error) {
	return ask(m.view, "IntMapGet", "MapKey", key, decodeJSON[int64])
}

// Set puts value under key.
func (m IntMap[K]) Set(ctx context.Context, key K, value int64) error {
	return m.apply(ctx, m.SetOp(key, value))
}

// SetOp is the op that Set applies.
func (m IntMap[K]) SetOp(key K, value int64) Op { return m.entryOp("IntMapSet", key, "Value", value) }

// Add adds delta to the value under key.
func (m IntMap[K]) Add(ctx context.Context, key K, delta int64) error {
	return m.apply(ctx, m.AddOp(key, delta))
}

// AddOp is the op that Add applies.
func (m IntMap[K]) AddOp(key K, delta int64) Op { return m.entryOp("IntMapAdd", key, "Delta", delta) }

// Mul multiplies the value under key by factor.
func (m IntMap[K]) Mul(ctx context.Context, key K, factor int64) error {
	return m.apply(ctx, m.MulOp(key, factor))
}

// MulOp is the op that Mul applies.
func (m IntMap[K]) MulOp(key K, factor int64) Op {
	return m.entryOp("IntMapMul", key, "Factor", factor)
}

// Div divides the value under key by divisor, truncating toward zero. Division by 0 does nothing.
func (m IntMap[K]) Div(ctx context.Context, key K, divisor int64) error {
	return m.apply(ctx, m.DivOp(key, divisor))
}

// DivOp is the op that Div applies.
func (m IntMap[K]) DivOp(key K, divisor int64) Op {
	return m.entryOp("IntMapDiv", key, "Divisor", divisor)
}

// Delete removes the entry under key, if there is one.
func (m IntMap[K]) Delete(ctx context.Context, key K) error { return m.apply(ctx, m.DeleteOp(key)) }

// DeleteOp is the op that Delete applies.
func (m IntMap[K]) DeleteOp(key K) Op { return valueOp(m.view, "IntMapDelete", "MapKey", key) }

// Len is the number of entries.
func (m IntMap[K]) Len() (int, error) { return m.length("IntMapLen") }

// Keys iterates over the keys, sorted by their JSON.
func (m IntMap[K]) Keys(options ...RangeOption) iter.Seq2[K, error] {
	return items(m.namespace, "IntMapKeys", m.name, options, decodeJSON[K])
}

// Entries iterates over the entries, sorted by the JSON of their keys.
func (m IntMap[K]) Entries(options ...RangeOption) iter.Seq2[Entry[K, int64], error] {
	return items(m.namespace, "IntMapEntries", m.name, options, decodeEntry[K, int64])
}
