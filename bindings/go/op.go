package opjournal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Op is one change of a namespace's state. The typed views make ops ([Int.AddOp], [Map.SetOp], ...); nothing happens
// before they are applied. Ops that are applied together are one atomic batch: every replica sees all of them or none.
type Op struct {
	text []byte
	// namespace is where the view that made the op belongs, or nil.
	namespace *Namespace
	err       error
}

// RawOp takes an op in its JSON form: {"op":"IntAdd","Key":"total","Delta":1}. The library checks it when it is applied.
func RawOp(text []byte) Op {
	if !json.Valid(text) {
		return Op{err: fmt.Errorf("not JSON: %.100q", text)}
	}
	return Op{text: text}
}

// String is the op's JSON.
func (o Op) String() string {
	return string(o.text)
}

// Batch collects ops, of any number of views of one namespace, to be applied as one. The zero value is ready to use. A
// Batch belongs to one goroutine.
type Batch struct {
	ops []Op
}

// Add puts ops at the end of the batch.
func (b *Batch) Add(ops ...Op) {
	b.ops = append(b.ops, ops...)
}

// Len is the number of ops in the batch.
func (b *Batch) Len() int {
	return len(b.ops)
}

// Reset empties the batch.
func (b *Batch) Reset() {
	clear(b.ops)
	b.ops = b.ops[:0]
}

// Apply writes the batch, as [Namespace.Apply] does. The batch keeps its ops: Reset it before it collects the next ones.
func (b *Batch) Apply(ctx context.Context, namespace *Namespace) (Applied, error) {
	return namespace.Apply(ctx, b.ops...)
}

// appendOps encodes a batch for namespace n.
func appendOps(text []byte, n *Namespace, ops []Op) ([]byte, error) {
	text = append(text, '[')
	for i, op := range ops {
		err := op.err
		if op.text == nil && err == nil {
			err = errors.New("an Op that no view made")
		}
		if from := op.namespace; err == nil && from != nil {
			switch {
			case from.journal != n.journal:
				err = fmt.Errorf("the view that made it belongs to another journal, namespace %q", from.name)
			case from.name != n.name:
				err = fmt.Errorf("the view that made it belongs to another namespace, %q", from.name)
			}
		}
		if err != nil {
			failed := invalid("op %d: %v", i, err)
			failed.Details = map[string]any{"op": json.Number(strconv.Itoa(i))}
			failed.cause = err
			return text, failed
		}
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, op.text...)
	}
	return append(text, ']'), nil
}

// segmentOf reads the answer to an apply: {"segment":KEY}.
func segmentOf(answer []byte) (string, error) {
	const start, end = `{"segment":"`, `"}`
	if bytes.HasPrefix(answer, []byte(start)) && bytes.HasSuffix(answer, []byte(end)) {
		key := answer[len(start) : len(answer)-len(end)]
		if bytes.IndexByte(key, '"') < 0 && bytes.IndexByte(key, '\\') < 0 {
			return string(key), nil
		}
	}
	// A later library may say more.
	var applied struct {
		Segment string `json:"segment"`
	}
	if err := json.Unmarshal(answer, &applied); err != nil {
		return "", unexpected(answer, err)
	}
	return applied.Segment, nil
}
