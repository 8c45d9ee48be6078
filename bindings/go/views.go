package opjournal

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strconv"

	"opjournal.dev/opjournal/internal/native"
)

// view is a name in a namespace: what every typed view is.
type view struct {
	namespace *Namespace
	name      string
}

// Name is the name of the value in its namespace.
func (v view) Name() string {
	return v.name
}

// apply writes one op.
func (v view) apply(ctx context.Context, op Op) error {
	_, err := v.namespace.Apply(ctx, op)
	return err
}

// begin starts the JSON of an op or query on the view's name; the caller closes the brace.
func (v view) begin(text []byte, op string) []byte {
	text = append(text, `{"op":"`...)
	text = append(text, op...)
	text = append(text, `","Key":`...)
	return appendString(text, v.name)
}

// op makes an op without further fields.
func (v view) op(op string) Op {
	return Op{text: append(v.begin(nil, op), '}'), namespace: v.namespace}
}

// intOp makes an op with one integer.
func (v view) intOp(op, field string, value int64) Op {
	return Op{text: appendInt(v.begin(nil, op), field, value), namespace: v.namespace}
}

// appendInt ends an op with an integer.
func appendInt(text []byte, field string, value int64) []byte {
	text = append(text, `,"`...)
	text = append(text, field...)
	text = append(text, `":`...)
	text = strconv.AppendInt(text, value, 10)
	return append(text, '}')
}

// appendMember appends a member with any value.
func appendMember[T any](text []byte, field string, value T) ([]byte, error) {
	text = append(text, `,"`...)
	text = append(text, field...)
	text = append(text, `":`...)
	text, err := appendJSON(text, value)
	if err != nil {
		err = fmt.Errorf("%s: %w", field, err)
	}
	return text, err
}

// valueOp makes an op with one value of any type.
func valueOp[T any](v view, op, field string, value T) Op {
	text, err := appendMember(v.begin(nil, op), field, value)
	return Op{text: append(text, '}'), namespace: v.namespace, err: err}
}

// ask answers a query on the view's name that has one further field, and hands the answer to read before its memory is
// used again.
func ask[K, T any](v view, query, field string, key K, read func([]byte) (T, error)) (T, error) {
	s := native.NewScratch()
	defer s.Release()
	var none T
	var err error
	if s.Text, err = appendMember(v.begin(s.Text, query), field, key); err != nil {
		return none, invalid("%s of %q: %v", query, v.name, err)
	}
	s.Text = append(s.Text, '}')
	answer, err := v.namespace.ask(s)
	if err != nil {
		return none, err
	}
	return read(answer)
}

// askPlain answers a query on the view's name that has no further field.
func askPlain[T any](v view, query string, read func([]byte) (T, error)) (T, error) {
	s := native.NewScratch()
	defer s.Release()
	s.Text = append(v.begin(s.Text, query), '}')
	answer, err := v.namespace.ask(s)
	if err != nil {
		var none T
		return none, err
	}
	return read(answer)
}

// length answers one of the Len queries.
func (v view) length(query string) (int, error) {
	return askPlain(v, query, decodeJSON[int])
}

// found is the answer to a query for one value.
type found[V any] struct {
	value V
	ok    bool
}

// readFound reads {"found":true,"value":V} or {"found":false}.
func readFound[V any](answer []byte) (found[V], error) {
	const start = `{"found":true,"value":`
	if string(answer) == `{"found":false}` {
		return found[V]{}, nil
	}
	if last := len(answer) - 1; last > len(start) && string(answer[:len(start)]) == start && answer[last] == '}' {
		if value, err := decodeJSON[V](answer[len(start):last]); err == nil {
			return found[V]{value: value, ok: true}, nil
		}
	}
	// Either the value is no V, or a later library says more.
	var whole struct {
		Found bool            `json:"found"`
		Value json.RawMessage `json:"value"`
	}
	if err := json.Unmarshal(answer, &whole); err != nil {
		return found[V]{}, unexpected(answer, err)
	}
	if !whole.Found {
		return found[V]{}, nil
	}
	value, err := decodeJSON[V](whole.Value)
	if err != nil {
		return found[V]{}, fmt.Errorf("opjournal: the value is no %T: %w", value, err)
	}
	return found[V]{value: value, ok: true}, nil
}

// Scalar is a view of one value of any type that encoding/json can encode. It is small: copy it freely.
type Scalar[V any] struct{ view }

// NewScalar makes a view of the value called name. Nothing is read or written.
func NewScalar[V any](namespace *Namespace, name string) Scalar[V] {
	return Scalar[V]{view{namespace, name}}
}

// Get returns the value; false: there is none.
func (s Scalar[V]) Get() (V, bool, error) {
	result, err := askPlain(s.view, "ScalarGet", readFound[V])
	return result.value, result.ok, err
}

// Set replaces the value.
func (s Scalar[V]) Set(ctx context.Context, value V) error { return s.apply(ctx, s.SetOp(value)) }

// SetOp is the op that Set applies.
func (s Scalar[V]) SetOp(value V) Op { return valueOp(s.view, "ScalarSet", "Value", value) }

// Delete removes the name, whatever it holds.
func (s Scalar[V]) Delete(ctx context.Context) error { return s.apply(ctx, s.DeleteOp()) }

// DeleteOp is the op that Delete applies.
func (s Scalar[V]) DeleteOp() Op { return s.op("ScalarDelete") }

// Int is a view of one integer. Changes by Add, Mul and Div from any number of replicas all count; they wrap around like
// Go's int64.
type Int struct{ view }

// NewInt makes a view of the integer called name. Nothing is read or written.
func NewInt(namespace *Namespace, name string) Int {
	return Int{view{namespace, name}}
}

// Get returns the value, 0 where there is none.
func (i Int) Get() (int64, error) { return askPlain(i.view, "IntGet", decodeJSON[int64]) }

// Set replaces the value.
func (i Int) Set(ctx context.Context, value int64) error { return i.apply(ctx, i.SetOp(value)) }

// SetOp is the op that Set applies.
func (i Int) SetOp(value int64) Op { return i.intOp("IntSet", "Value", value) }

// Add adds delta.
func (i Int) Add(ctx context.Context, delta int64) error { return i.apply(ctx, i.AddOp(delta)) }

// AddOp is the op that Add applies.
func (i Int) AddOp(delta int64) Op { return i.intOp("IntAdd", "Delta", delta) }

// Mul multiplies by factor.
func (i Int) Mul(ctx context.Context, factor int64) error { return i.apply(ctx, i.MulOp(factor)) }

// MulOp is the op that Mul applies.
func (i Int) MulOp(factor int64) Op { return i.intOp("IntMul", "Factor", factor) }

// Div divides by divisor, truncating toward zero. Division by 0 does nothing.
func (i Int) Div(ctx context.Context, divisor int64) error { return i.apply(ctx, i.DivOp(divisor)) }

// DivOp is the op that Div applies.
func (i Int) DivOp(divisor int64) Op { return i.intOp("IntDiv", "Divisor", divisor) }

// Delete removes the name.
func (i Int) Delete(ctx context.Context) error { return i.apply(ctx, i.DeleteOp()) }

// DeleteOp is the op that Delete applies.
func (i Int) DeleteOp() Op { return i.op("ScalarDelete") }

// List is a view of a list, to which any replica may append.
type List[V any] struct{ view }

// NewList makes a view of the list called name. Nothing is read or written.
func NewList[V any](namespace *Namespace, name string) List[V] {
	return List[V]{view{namespace, name}}
}

// Append puts a value at the end.
func (l List[V]) Append(ctx context.Context, value V) error { return l.apply(ctx, l.AppendOp(value)) }

// AppendOp is the op that Append applies.
func (l List[V]) AppendOp(value V) Op { return valueOp(l.view, "ListAppend", "Value", value) }

// Len is the number of values.
func (l List[V]) Len() (int, error) { return l.length("ListLen") }

// Values iterates over the values in order. After takes an index.
func (l List[V]) Values(options ...RangeOption) iter.Seq2[V, error] {
	return items(l.namespace, "ListEntries", l.name, options, decodeJSON[V])
}
